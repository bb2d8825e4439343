// Four elements in a row of B as it is stored, in lines of `extent` elements; repeats the last ones behind either end.
// base, b_line and extent are multiples of 4.
fn b_piece(base: u32, line: u32, at: u32, lines: u32, extent: u32) -> vec4<Operand> {
    return b[(base + min(line, lines - 1u) * params.b_line + min(at, extent - 4u)) / 4u];
}
