// 1 - tanh(x)^2 = 4 e / (1 + e)^2 by e = exp(-2|x|), which cancels nowhere; e is 0 long before the bound.
fn slope(x: Lanes) -> Lanes {
    let e = exp(-2.0 * min(abs(x), Lanes(1e3)));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}
