// The hyperbolic tangent, because WGSL's own may be off by 1e-5 and overflows on some drivers: by exp(-2|x|), which is below
// half an ulp of the result's 1 at the bound, and around 0, where that cancels, by x + x^3 p(x^2), interpolated at Chebyshev's
// nodes.
fn tanh_bounded(x: Lanes) -> Lanes {
    let t = min(abs(x), Lanes(10.0));
    let s = t * t;
    let p = (((s * -6.2691197e-3 + 2.1110959e-2) * s - 5.3873949e-2) * s + 1.3332915e-1) * s - 3.3333331e-1;
    let e = exp(-2.0 * t);
    return sign(x) * select((1.0 - e) / (1.0 + e), t + t * (s * p), t < Lanes(0.6));
}
