// Positions of a list. `counts` has, for each batch item and each position from 0 to `time`, how many of the list lie before it.
fn globals_sees(counts: u32, time: u32, batch: u32, position: vec4<i32>) -> vec4<bool> {
    let at = vec4(counts + batch * (time + 1u)) + vec4<u32>(position);
    return integers(at) != integers(at + 1u);
}

fn globals_meets(counts: u32, time: u32, batch: u32, first: i32, last: i32) -> vec2<bool> {
    let at = counts + batch * (time + 1u);
    let some = integer(at + u32(first)) != integer(at + u32(last) + 1u);
    // A position may be in the list twice, so that counts only tell of single ones.
    return vec2(some, some && first == last);
}
