// Blocks of B, stored column by column: from b_vec (four k of a column) and b_at (one element).
fn b_block(base: u32, k: u32, col: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(
        b_vec(base, k, col),
        b_vec(base, k, col + 1u),
        b_vec(base, k, col + 2u),
        b_vec(base, k, col + 3u),
    ));
}

fn b_row(base: u32, k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(
        b_at(base, k, col),
        b_at(base, k, col + 1u),
        b_at(base, k, col + 2u),
        b_at(base, k, col + 3u),
    );
}
