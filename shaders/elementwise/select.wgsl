fn element(i: u32) {
    let at = places(i);
    store_result(i, select(load_b(at.z), load_a(at.y), load_condition(at.x) != Condition()));
}
