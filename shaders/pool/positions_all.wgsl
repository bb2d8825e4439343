// From the first position to behind the last one.
fn positions_of(item: u32, segment: u32) -> vec2<u32> {
    return vec2(0u, params.time);
}
