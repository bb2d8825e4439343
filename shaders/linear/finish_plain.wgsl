fn c_store(base: u32, row: u32, col: u32, product: vec4<f32>) {
    let sum = product + bias_at(base + col);
    store_sums(base + row * params.c_line, row, col, sum);
    store(base, row, col, activate(sum));
}
