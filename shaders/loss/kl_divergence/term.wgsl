// a = ln q, b = ln p.
fn term(a: Lanes, b: Lanes) -> Lanes {
    return exp(b) * (b - a);
}
