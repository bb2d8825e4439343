// Four elements in a row of A as it is stored, in lines of `extent` elements; repeats the last one behind either end. Any sizes.
fn a_piece(base: u32, line: u32, at: u32, lines: u32, extent: u32) -> vec4<Operand> {
    let start = base + min(line, lines - 1u) * params.a_line;
    let places = min(vec4<u32>(at, at + 1u, at + 2u, at + 3u), vec4<u32>(extent - 1u));
    return vec4<Operand>(a[start + places.x], a[start + places.y], a[start + places.z], a[start + places.w]);
}
