// Queries at the positions of keys: query i of a batch item stands at query_start + i, which may lie before the first key or behind the last.
// What rules hold by position is looked up at the nearest key then.
fn own_key(batch: u32, query: vec4<i32>) -> vec4<i32> {
    return clamp(query + vec4(query_start(batch)), vec4(0), vec4(i32(params.key_time) - 1));
}

fn has_own_key(batch: u32, query: vec4<i32>) -> vec4<bool> {
    return own_key(batch, query) == query + vec4(query_start(batch));
}

fn own_keys(batch: u32, at: Rect) -> Rect {
    let queries = own_key(batch, vec4(at.first_query, at.last_query, 0, 0));
    return Rect(queries.x, queries.y, at.first_key, at.last_key);
}

// Whether some of the queries stand at a key, and whether all do.
fn have_own_keys(batch: u32, at: Rect) -> vec2<bool> {
    let first = at.first_query + query_start(batch);
    let last = at.last_query + query_start(batch);
    let end = i32(params.key_time);
    // In parentheses, as `a < b, c >= d` could be a list of template parameters.
    return vec2((first < end) && (last >= 0), (first >= 0) && (last < end));
}
