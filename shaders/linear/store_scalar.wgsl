// result(row, col) = value + residual, any sizes.
fn store(base: u32, row: u32, col: u32, value: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    let at = base + row * params.c_line + col;
    for (var i = 0u; i < 4u && col + i < params.cols; i++) {
        c[at + i] = CPack(value[i] + residual_at(at + i));
    }
}
