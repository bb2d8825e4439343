// Queries and keys are tokens of packed sequences; segments.wgsl has found where each begins and ends.
@group(0) @binding(7) var<storage, read> segments: array<vec2<i32>>;  // [batch, time]

const SEGMENTS: bool = true;

// The first key of a query's sequence, and the first key behind it.
fn segment(batch: u32, query: u32) -> vec2<i32> {
    return segments[batch * params.query_time + query];
}
