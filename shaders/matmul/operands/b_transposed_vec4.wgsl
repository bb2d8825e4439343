// B(k, col) at base + col * b_line + k. base, b_line and inner are multiples of 4. Columns past the end repeat the last one.
fn b_vec(base: u32, k: u32, col: u32) -> vec4<f32> {
    return b_wide(b[(base + min(col, params.cols - 1u) * params.b_line + k) / 4u]);
}

fn b_at(base: u32, k: u32, col: u32) -> f32 {
    let at = base + min(col, params.cols - 1u) * params.b_line + k;
    return b_wide(b[at / 4u])[at % 4u];
}
