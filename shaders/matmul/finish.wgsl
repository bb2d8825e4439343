// A product with nothing behind it.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    store_c(base, row, col, so_far_row(base, row, col) + product);
}
