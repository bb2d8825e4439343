fn term(a: Lanes, b: Lanes) -> Lanes {
    return (a - b) * (a - b);
}

fn slope_a(a: Lanes, b: Lanes) -> Lanes {
    return 2.0 * (a - b);
}

fn slope_b(a: Lanes, b: Lanes) -> Lanes {
    return 2.0 * (b - a);
}
