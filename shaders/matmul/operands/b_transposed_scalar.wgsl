// B(k, col) at base + col * b_line + k, any sizes. Columns past the end repeat the last one.
fn b_vec(base: u32, k: u32, col: u32) -> vec4<f32> {
    let at = base + min(col, params.cols - 1u) * params.b_line + k;
    return vec4<f32>(f32(b[at]), f32(b[at + 1u]), f32(b[at + 2u]), f32(b[at + 3u]));
}

fn b_at(base: u32, k: u32, col: u32) -> f32 {
    return f32(b[base + min(col, params.cols - 1u) * params.b_line + k]);
}
