// Without segments an item is one row.
fn run_of(row: u32, item: u32) -> vec2<u32> {
    return positions_of(item, 0u);
}
