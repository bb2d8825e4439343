// Through the denominator, of a row of queries: the gradient of the numerator, d_out / denominator, and that of the denominator, which
// becomes an addend of the row's scores: -(d_out . out) / denominator. Where the denominator is the least that it may be, or 0, it does not
// depend on the scores.
fn element(row: u32) {
    let denominator = load_denominator(row);
    let inverse = select(0.0, 1.0 / select(1.0, denominator, denominator != 0.0), denominator != 0.0);
    var product = 0.0;
    for (var pack = 0u; pack < ROW_PACKS; pack++) {
        let d_out = load_d_out(row * ROW_PACKS + pack);
        product += lanes_sum(d_out * load_out(row * ROW_PACKS + pack));
        store_d_numerator(row * ROW_PACKS + pack, d_out * inverse);
    }
    let depends = denominator != 0.0 && (ADDS_EPS || denominator > params.eps);
    store_aux(params.addends + row, bitcast<u32>(select(0.0, -product * inverse, depends)));
}
