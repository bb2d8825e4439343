// What follows the two products of a gated layer: y = gate(first + bias, second + bias) + residual. Bias and a row of sums have both factors,
// one behind the other.
fn finish_pair(base: u32, row: u32, col: u32, first: vec4<f32>, second: vec4<f32>) {
    let a = so_far_row(0u, row, col) + first + bias_row(0u, row, col);
    let b = so_far_row(params.cols, row, col) + second + bias_row(params.cols, row, col);
    store_sums(0u, row, col, a);
    store_sums(params.cols, row, col, b);
    store_c(base, row, col, gate(a, b) + residual_row(base, row, col));
}
