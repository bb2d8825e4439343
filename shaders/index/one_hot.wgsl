fn element(i: u32) {
    let row = i / params.count_of_ids;
    store_result(i, select(0.0, 1.0, u32(load_ids(row)) == i - row * params.count_of_ids));
}
