// d_a = slope_a(a, b) * upstream / divisor, and the same for b, as far as they are wanted.
fn element(i: u32) {
    let factor = load_upstream(0u) / params.divisor;
    store_d_a(i, slope_a(load_a(i), load_b(i)) * factor);
    store_d_b(i, slope_b(load_a(i), load_b(i)) * factor);
}
