// Angles as fractions of a turn, in units of 2^-32 of it: exact, whatever the position, and reduced by the overflow of integers. WGSL
// grants its own sine an absolute error of 2^-11.

// `place` times a turn in units of 2^-64, whose words are `high` and `low`.
fn turn_at(place: i32, high: Words, low: Words) -> Words {
    let places = u32(abs(place));
    let turn = high * places + high_product(low, places);
    return select(turn, Words(0u) - turn, Words(0u) < Words(u32(place < 0)));
}

// The upper word of a product, from its halves' products.
fn high_product(a: Words, b: u32) -> Words {
    let half = Words(16u);
    let mask = Words(0xFFFFu);
    let b_low = b & 0xFFFFu;
    let b_high = b >> 16u;
    let a_low = a & mask;
    let a_high = a >> half;
    let crossed = a_high * b_low + ((a_low * b_low) >> half);
    let other = a_low * b_high + (crossed & mask);
    return a_high * b_high + (crossed >> half) + (other >> half);
}

// The angle in radians, from -pi/4 to pi/4, beyond the nearest quarter of a turn.
fn beyond_quarter(turn: Words) -> Lanes {
    let quarters = nearest_quarter(turn) << Words(30u);
    return Lanes(SignedWords(turn - quarters)) * (6.283185307179586 / 4294967296.0);
}

fn nearest_quarter(turn: Words) -> Words {
    return (turn + Words(0x20000000u)) >> Words(30u);
}

fn cosine_of(turn: Words) -> Lanes {
    return in_quarter(nearest_quarter(turn) + Words(1u), beyond_quarter(turn));
}

fn sine_of(turn: Words) -> Lanes {
    return in_quarter(nearest_quarter(turn), beyond_quarter(turn));
}

// sin(quarter * pi/2 + x) for x from -pi/4 to pi/4, by Taylor's series; the first term left out is below 3e-9.
fn in_quarter(quarter: Words, x: Lanes) -> Lanes {
    let z = x * x;
    let sine = x + x * z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362880.0))));
    let cosine = 1.0 - z * (0.5 - z * (1.0 / 24.0 - z * (1.0 / 720.0 - z * (1.0 / 40320.0 - z * (1.0 / 3628800.0)))));
    let value = select(sine, cosine, (quarter & Words(1u)) == Words(1u));
    return select(value, -value, (quarter & Words(2u)) == Words(2u));
}
