// A(row, k) at base + k * a_line + row. base, a_line and rows are multiples of 4. Rows past the end repeat the last four.
fn a_column(base: u32, row: u32, k: u32) -> vec4<f32> {
    return a_wide(a[(base + k * params.a_line + min(row, params.rows - 4u)) / 4u]);
}
