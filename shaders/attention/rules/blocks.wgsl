// Pairs of blocks that a layout, which begins at `first`, has, of `extents` query blocks and key blocks holds.
fn blocks_sees(first: vec4<u32>, extents: vec2<u32>, size: u32, query: vec4<i32>, key: vec4<i32>) -> vec4<bool> {
    let row = vec4<u32>(query) / vec4(size);
    return integers(first + row * vec4(extents.y) + vec4<u32>(key) / vec4(size)) != vec4(0);
}

fn blocks_meets(first: u32, extents: vec2<u32>, size: u32, rect: Rect) -> vec2<bool> {
    var met = vec2(false, true);
    for (var row = u32(rect.first_query) / size; row <= u32(rect.last_query) / size; row++) {
        for (var column = u32(rect.first_key) / size; column <= u32(rect.last_key) / size; column++) {
            let holds = integer(first + row * extents.y + column) != 0;
            met = vec2(met.x || holds, met.y && holds);
        }
    }
    return met;
}
