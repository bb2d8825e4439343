// A(row, k) at base + row * a_line + k, any sizes. Rows past the end repeat the last one.
fn a_vec(base: u32, row: u32, k: u32) -> vec4<f32> {
    let at = base + min(row, params.rows - 1u) * params.a_line + k;
    return vec4<f32>(f32(a[at]), f32(a[at + 1u]), f32(a[at + 2u]), f32(a[at + 3u]));
}

fn a_at(base: u32, row: u32, k: u32) -> f32 {
    return f32(a[base + min(row, params.rows - 1u) * params.a_line + k]);
}
