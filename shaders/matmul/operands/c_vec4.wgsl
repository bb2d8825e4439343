// C(row, col) at base + row * c_line + col. base, c_line and cols are multiples of 4.
fn c_store(base: u32, row: u32, col: u32, value: vec4<f32>) {
    if row < params.rows && col < params.cols {
        c[(base + row * params.c_line + col) / 4u] = CPack(value);
    }
}
