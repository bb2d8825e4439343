// Queries and keys are tokens of packed sequences; segments.wgsl has found where each begins and ends.
const SEGMENTS: bool = true;

// The first key of a query's sequence, and the first key behind it.
fn segment(batch: u32, query: u32) -> vec2<i32> {
    let at = section(ENDS) + 2u * (batch * params.query_time + query);
    return vec2(integer(at), integer(at + 1u));
}
