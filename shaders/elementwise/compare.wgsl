fn element(i: u32) {
    let at = places(i);
    store_result(i, select(Result(), Result(1u), compare(load_a(at.x), load_b(at.y))));
}
