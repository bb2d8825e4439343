// What is activated, kept for the gradients: a row of the result from element `first` on, any sizes.
@group(0) @binding(6) var<storage, read_write> sums: array<CPack>;

fn store_sums(first: u32, row: u32, col: u32, value: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    for (var i = 0u; i < 4u && col + i < params.cols; i++) {
        sums[first + col + i] = CPack(value[i]);
    }
}
