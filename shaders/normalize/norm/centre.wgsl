// What deviations are taken from: some element of the row, and then their own mean. That loses nothing where the mean is large beside
// them, and leaves exactly 0 of a constant row. Without a centre, elements count from 0.
fn origin(first: u32) -> f32 {
    if CENTRED {
        return lanes_max(element(first));
    }
    return 0.0;
}

fn mean(lane_sum: f32, lane: u32) -> f32 {
    if CENTRED {
        return row_sum(0u, lane_sum, lane) / f32(params.elements);
    }
    return 0.0;
}

// 1 / sqrt(variance + eps). Squares of a row may leave f32 where the row itself does not: 0 as its factor would make zeros of it, and nobody
// would be told. Such a row is not a number, told by its bits.
fn factor_of(variance: f32) -> f32 {
    let bits = bitcast<u32>(variance);
    let factor = inverseSqrt(variance + params.eps);
    return select(factor, bitcast<f32>(bits | 0xffffffffu), (bits & 0x7f800000u) == 0x7f800000u);
}
