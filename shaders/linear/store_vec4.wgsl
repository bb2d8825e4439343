// result(row, col) = value + residual, four columns at a time: base, c_line and cols are multiples of 4.
fn store(base: u32, row: u32, col: u32, value: vec4<f32>) {
    if row < params.rows && col < params.cols {
        let at = (base + row * params.c_line + col) / 4u;
        c[at] = CPack(value + residual_at(at));
    }
}
