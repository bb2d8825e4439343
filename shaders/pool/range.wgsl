// The positions that a result is of; results are packs of the rows of an item's segments.
fn range_of(result: u32) -> vec2<u32> {
    let row = result / params.kept_extents.x;
    let segments = select(1u, params.kept_extents.y, IN_SEGMENTS);
    let positions = positions_of(row / segments, row % segments, params.elements);
    if IS_FIRST {
        return vec2(positions.x, min(positions.x + 1u, positions.y));
    }
    if IS_LAST {
        return vec2(max(positions.x + 1u, positions.y) - 1u, positions.y);
    }
    return positions;
}
