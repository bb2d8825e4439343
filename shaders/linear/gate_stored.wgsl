// y = gate(first, second) + residual, of factors that were stored: rows of `width` packs of the one, then of the other.
fn element(i: u32) {
    let first = i / params.width * params.width + i;
    store_c(i, gate(load_factors(first), load_factors(first + params.width)) + load_residual(i));
}
