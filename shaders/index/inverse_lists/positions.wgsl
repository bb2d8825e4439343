fn element(i: u32) {
    store_positions(i, load_items(2u * i + 1u));
}
