// A product over a part of the inner axis, added to those over the parts before it.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    store_c(base, row, col, c_row(base, row, col) + product);
}
