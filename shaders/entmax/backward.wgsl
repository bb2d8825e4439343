// The gradient of sparsemax or, SQUARED, 1.5-entmax from its result y, along rows of `width` packs, each read twice: for the sums and the
// result.
fn row(row: u32, lane: u32) {
    let first = row * params.width;

    var shares = Lanes(0.0);
    var terms = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let share = share_of(load_y(first + i));
        shares += share;
        terms += share * load_upstream(first + i);
    }
    let whole = row_sum(0u, lanes_sum(shares), lane);
    let sum = row_sum(1u, lanes_sum(terms), lane);
    // A row of zeros is none of the op's results.
    let mean = sum / select(whole, 1.0, whole == 0.0);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        store_dx(first + i, share_of(load_y(first + i)) * (load_upstream(first + i) - mean));
    }
}

// How much an element takes part: 0 where its result is, and NaN where it is, told by its bits.
fn share_of(y: Lanes) -> Lanes {
    let is_nan = (bitcast<Bits>(y) & Bits(0x7fffffffu)) > Bits(0x7f800000u);
    if SQUARED {
        return select(sqrt(max(y, Lanes(0.0))), y, is_nan);
    }
    return select(select(Lanes(0.0), Lanes(1.0), y > Lanes(0.0)), y, is_nan);
}
