// Positions of a list. `listed` has, for each batch item and each position, whether the list has it (in the lowest bit), and how many
// of the list lie before it.
fn globals_sees(listed: u32, time: u32, batch: u32, position: vec4<i32>) -> vec4<bool> {
    let word = integers(vec4(listed + batch * time) + vec4<u32>(position));
    return (word & vec4(1)) != vec4(0);
}

fn globals_meets(listed: u32, time: u32, batch: u32, first: i32, last: i32) -> vec2<bool> {
    let at = listed + batch * time;
    let after = integer(at + u32(last));
    let some = (after & 1) != 0 || (after >> 1) != (integer(at + u32(first)) >> 1);
    // A position may be in the list twice, so that counts only tell of single ones.
    return vec2(some, some && first == last);
}
