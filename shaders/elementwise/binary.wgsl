// Of an operand that repeats along the innermost axis, one element is all of a pack.
fn element(i: u32) {
    let at = places(i);
    store_result(i, apply(Lanes(load_a(at.x)), Lanes(load_b(at.y))));
}
