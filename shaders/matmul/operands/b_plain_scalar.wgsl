// B(k, col) at base + k * b_line + col, any sizes. Columns past the end repeat the last one.
fn b_at(base: u32, k: u32, col: u32) -> f32 {
    return f32(b[base + k * params.b_line + min(col, params.cols - 1u)]);
}

fn b_row(base: u32, k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(
        b_at(base, k, col),
        b_at(base, k, col + 1u),
        b_at(base, k, col + 2u),
        b_at(base, k, col + 3u),
    );
}
