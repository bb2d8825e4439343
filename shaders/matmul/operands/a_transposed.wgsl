// Blocks of A, stored k by k: from a_column (four rows at one k).
fn a_block(base: u32, row: u32, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(
        a_column(base, row, k),
        a_column(base, row, k + 1u),
        a_column(base, row, k + 2u),
        a_column(base, row, k + 3u),
    ));
}
