// Blocks of B, stored k by k: from b_row (four columns at one k).
fn b_block(base: u32, k: u32, col: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        b_row(base, k, col),
        b_row(base, k + 1u, col),
        b_row(base, k + 2u, col),
        b_row(base, k + 3u, col),
    );
}
