// What follows the product: the bias of the group's channels, which lie behind one another in a place of the result.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    let bias = bias_row(base % params.c_batch, row, col);
    store_c(base, row, col, so_far_row(base, row, col) + product + bias);
}
