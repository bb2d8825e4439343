// a = ln q, b = ln p.
fn term(a: Lanes, b: Lanes) -> Lanes {
    return exp(b) * (b - a);
}

fn slope_a(a: Lanes, b: Lanes) -> Lanes {
    return -exp(b);
}

fn slope_b(a: Lanes, b: Lanes) -> Lanes {
    return exp(b) * ((b - a) + 1.0);
}
