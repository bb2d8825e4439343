// A product over a part of the inner axis, added to those over the parts before it.
fn finish(base: u32, row: u32, col: u32, product: vec4<f32>) {
    store_so_far(base, row, col, so_far_row(base, row, col) + product);
}

// The same of both factors of a gated product, which stand one behind the other in a row of sums.
fn finish_pair(base: u32, row: u32, col: u32, first: vec4<f32>, second: vec4<f32>) {
    store_so_far(0u, row, col, so_far_row(0u, row, col) + first);
    store_so_far(params.cols, row, col, so_far_row(params.cols, row, col) + second);
}
