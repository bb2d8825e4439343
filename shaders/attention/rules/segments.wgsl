// Keys of the query's own sequence. `ends` has, for each token, the first of its sequence and the first behind it.
fn segments_sees(ends: u32, batch: u32, query: vec4<i32>, key: vec4<i32>) -> vec4<bool> {
    let at = vec4(ends) + 2u * (vec4(batch * params.key_time) + vec4<u32>(query));
    return (key >= integers(at)) & (key < integers(at + 1u));
}

fn segments_meets(ends: u32, batch: u32, rect: Rect) -> vec2<bool> {
    let first = ends + 2u * (batch * params.key_time + u32(rect.first_query));
    let last = ends + 2u * (batch * params.key_time + u32(rect.last_query));
    // In parentheses, as `a < b, c >= d` could be a list of template parameters.
    return vec2(
        (rect.last_key >= integer(first)) && (rect.first_key < integer(last + 1u)),
        (rect.first_key >= integer(last)) && (rect.last_key < integer(first + 1u)),
    );
}
