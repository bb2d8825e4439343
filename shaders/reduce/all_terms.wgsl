// The elements along the reduced axes that a result is of: all.
fn range_of(result: u32) -> vec2<u32> {
    return vec2(0u, params.elements);
}
