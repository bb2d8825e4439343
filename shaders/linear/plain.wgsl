// What follows the product: y = activate(product + bias) + residual. The sums are kept for the gradients, if anybody wants them.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    let sum = so_far_row(base, row, col) + product + bias_row(base, row, col);
    store_sums(base, row, col, sum);
    store_c(base, row, col, activate(sum) + residual_row(base, row, col));
}
