// What later passes of a sort find: keys, each with where it was in its row before the sort.
fn key_at(i: u32) -> u32 {
    return load_items(2u * i);
}

fn position_at(i: u32, first_of_row: u32) -> u32 {
    return load_items(2u * i + 1u);
}
