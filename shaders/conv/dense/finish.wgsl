// What follows the product: the bias of the group's channels, which lie behind one another in a place of the result, and the activation. The sums
// are kept for the gradients, if anybody wants them.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    let sum = so_far_row(base, row, col) + product + bias_row(base % params.c_batch, row, col);
    store_sums(base, row, col, sum);
    store_c(base, row, col, activate(sum));
}
