// Four elements in a row of A as it is stored, in lines of `extent` elements; repeats the last ones behind either end.
// base, a_line and extent are multiples of 4.
fn a_piece(base: u32, line: u32, at: u32, lines: u32, extent: u32) -> vec4<Operand> {
    return a[(base + min(line, lines - 1u) * params.a_line + min(at, extent - 4u)) / 4u];
}
