// Pairs of blocks that a layout holds: from `first` on, a row of words for each block of queries, a bit for each block of keys.
fn blocks_sees(first: vec4<u32>, words: u32, size: u32, query: vec4<i32>, key: vec4<i32>) -> vec4<bool> {
    let column = vec4<u32>(key) / vec4(size);
    let row = first + vec4<u32>(query) / vec4(size) * words;
    return ((vec4<u32>(integers(row + column / 32u)) >> (column % 32u)) & vec4(1u)) != vec4(0u);
}

// The same of four pairs that lie in one pair of blocks: kernels ask about every tile, and a word is read once instead of four times.
fn blocks_see_all(first: u32, words: u32, size: u32, query: i32, key: i32) -> vec4<bool> {
    let column = u32(key) / size;
    let word = u32(integer(first + u32(query) / size * words + column / 32u));
    return vec4(((word >> (column % 32u)) & 1u) != 0u);
}

fn blocks_meets(first: u32, words: u32, size: u32, rect: Rect) -> vec2<bool> {
    var met = vec2(false, true);
    for (var row = u32(rect.first_query) / size; row <= u32(rect.last_query) / size; row++) {
        for (var column = u32(rect.first_key) / size; column <= u32(rect.last_key) / size; column++) {
            let word = u32(integer(first + row * words + column / 32u));
            let holds = ((word >> (column % 32u)) & 1u) != 0u;
            met = vec2(met.x || holds, met.y && holds);
        }
    }
    return met;
}
