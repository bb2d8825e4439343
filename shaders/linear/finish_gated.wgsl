// The two factors of a gated linear unit, of which one is activated.
fn c_store_pair(base: u32, row: u32, col: u32, first: vec4<f32>, second: vec4<f32>) {
    store(base, row, col, gate(first + bias_at(col), second + bias_at(params.cols + col)));
}
