// Loads widen and stores round, so a cast is what remains: nothing.
fn element(i: u32) {
    store_result(i, Lanes(load_x(i)));
}
