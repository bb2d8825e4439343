fn store_sums(first: u32, row: u32, col: u32, value: vec4<f32>) {
}
