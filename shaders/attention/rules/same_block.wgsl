// Keys of the query's own block. Queries are told by the key opposite them, which may lie before the first.
fn same_block_sees(at: vec4<i32>, key: vec4<i32>, size: i32) -> vec4<bool> {
    return (at >= vec4(0)) & (at / vec4(size) == key / vec4(size));
}

fn same_block_meets(rect: Rect, shift: i32, size: i32) -> vec2<bool> {
    let first = rect.first_query + shift;
    let last = rect.last_query + shift;
    let blocks = vec2(max(first, 0), last) / vec2(size);
    let keys = vec2(rect.first_key, rect.last_key) / vec2(size);
    return vec2(
        last >= 0 && blocks.x <= keys.y && keys.x <= blocks.y,
        first >= 0 && blocks.x == blocks.y && all(keys == blocks),
    );
}
