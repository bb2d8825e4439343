// B(k, col) at base + k * b_line + col. base, b_line and cols are multiples of 4. Columns past the end repeat the last four.
fn b_row(base: u32, k: u32, col: u32) -> vec4<f32> {
    return b_wide(b[(base + k * params.b_line + min(col, params.cols - 4u)) / 4u]);
}
