// The norm of all gradients, from partial sums of their squares, and what to multiply them with.
fn row(row: u32, lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < params.partials; i += WORKGROUP) {
        sum += load_partials(i);
    }
    let squares = row_sum(0u, sum, lane);
    if lane > 0u {
        return;
    }
    if overflowed(squares) {
        store_norm(0u, -1.0);
        store_factor(0u, 0.0);
        return;
    }
    let length = sqrt(squares) / load_scale(0u);
    store_norm(0u, length);
    var clip = 1.0;
    if CLIPS {
        clip = min(1.0, params.max_norm / (length + params.epsilon));
    }
    store_factor(0u, clip / load_scale(0u));
}

// By its bits: WGSL lets comparisons assume that infinities and NaNs do not occur.
fn overflowed(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}
