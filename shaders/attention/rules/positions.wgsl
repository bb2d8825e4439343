// Where pairs of queries and keys lie. Masks are evaluated for four pairs at a time (`sees`), and for all pairs of a stretch of
// queries and a stretch of keys (`meets`): x, whether any of them may be seen; y, whether all of them are. Where a rule cannot tell,
// it says that some may be and not all are.

// All bounds inclusive.
struct Rect {
    first_query: i32,
    last_query: i32,
    first_key: i32,
    last_key: i32,
}

// The key opposite query 0, when the last of both stand opposite each other.
fn bottom_right() -> i32 {
    return i32(params.key_time) - i32(params.query_time);
}

// The least and the greatest distance from a query of the rectangle back to a key.
fn distances(at: Rect, shift: i32) -> vec2<i32> {
    return vec2(at.first_query + shift - at.last_key, at.last_query + shift - at.first_key);
}

fn opposite(met: vec2<bool>) -> vec2<bool> {
    return vec2(!met.y, !met.x);
}
