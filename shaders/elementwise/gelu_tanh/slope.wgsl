// s + x s', where s = sigmoid(2 u) and s' = s (1 - s) 2 u' = e / (1 + e)^2 2 u', which cancels nowhere. With gelu_tanh.wgsl, whose
// bound it shares.
fn slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-20.0), Lanes(20.0));
    let v = GELU_TANH_SLOPE * (t + 0.044715 * (t * t * t));
    let e = exp(-abs(v));
    let bell = e / ((1.0 + e) * (1.0 + e));
    return select(e, Lanes(1.0), v >= Lanes(0.0)) / (1.0 + e) + t * bell * GELU_TANH_SLOPE * (1.0 + 0.134145 * (t * t));
}
