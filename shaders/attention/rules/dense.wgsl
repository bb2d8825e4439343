// Any pairs: `bits` has a row of words for each query, a bit for each key.
fn dense_sees(bits: vec4<u32>, query: vec4<i32>, key: vec4<i32>) -> vec4<bool> {
    let words = (params.key_time + 31u) / 32u;
    let word = vec4<u32>(integers(bits + vec4<u32>(query) * vec4(words) + vec4<u32>(key) / 32u));
    return ((word >> (vec4<u32>(key) % 32u)) & vec4(1u)) != vec4(0u);
}

fn dense_meets(bits: u32, rect: Rect) -> vec2<bool> {
    let words = (params.key_time + 31u) / 32u;
    var met = vec2(false, true);
    for (var row = u32(rect.first_query); row <= u32(rect.last_query); row++) {
        for (var word = u32(rect.first_key) / 32u; word <= u32(rect.last_key) / 32u; word++) {
            let first = u32(max(rect.first_key - i32(word * 32u), 0));
            let last = min(u32(rect.last_key) - word * 32u, 31u);
            let wanted = (0xffffffffu << first) & (0xffffffffu >> (31u - last));
            let held = u32(integer(bits + row * words + word)) & wanted;
            met = vec2(met.x || held != 0u, met.y && held == wanted);
        }
    }
    return met;
}
