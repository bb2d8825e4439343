// A(row, k) at base + k * a_line + row, any sizes. Rows past the end repeat the last one.
fn a_at(base: u32, row: u32, k: u32) -> f32 {
    return f32(a[base + k * params.a_line + min(row, params.rows - 1u)]);
}

fn a_column(base: u32, row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(
        a_at(base, row, k),
        a_at(base, row + 1u, k),
        a_at(base, row + 2u, k),
        a_at(base, row + 3u, k),
    );
}
