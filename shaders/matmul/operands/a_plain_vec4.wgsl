// A(row, k) at base + row * a_line + k. base, a_line and inner are multiples of 4. Rows past the end repeat the last one.
fn a_vec(base: u32, row: u32, k: u32) -> vec4<f32> {
    return a_wide(a[(base + min(row, params.rows - 1u) * params.a_line + k) / 4u]);
}

fn a_at(base: u32, row: u32, k: u32) -> f32 {
    let at = base + min(row, params.rows - 1u) * params.a_line + k;
    return a_wide(a[at / 4u])[at % 4u];
}
