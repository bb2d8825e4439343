// The two factors of a gated linear unit, of which one is activated.
fn c_store_pair(base: u32, row: u32, col: u32, first: vec4<f32>, second: vec4<f32>) {
    let a = first + bias_at(col);
    let b = second + bias_at(params.cols + col);
    // A row of sums has both factors.
    store_sums(2u * row * params.c_line, row, col, a);
    store_sums(2u * row * params.c_line + params.cols, row, col, b);
    store(base, row, col, gate(a, b));
}
