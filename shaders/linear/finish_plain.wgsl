fn c_store(base: u32, row: u32, col: u32, product: vec4<f32>) {
    store(base, row, col, apply(product + bias_at(base + col), 0.0));
}
