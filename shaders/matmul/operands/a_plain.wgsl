// Blocks of A, stored row by row: from a_vec (four k of a row) and a_at (one element).
fn a_block(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        a_vec(base, row, k),
        a_vec(base, row + 1u, k),
        a_vec(base, row + 2u, k),
        a_vec(base, row + 3u, k),
    );
}

fn a_column(base: u32, row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(
        a_at(base, row, k),
        a_at(base, row + 1u, k),
        a_at(base, row + 2u, k),
        a_at(base, row + 3u, k),
    );
}
