fn element(i: u32) {
    let at = places(i);
    store_result(i, apply(load_a(at.x), load_b(at.y)));
}
