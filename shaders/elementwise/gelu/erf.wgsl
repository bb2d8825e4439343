// The error function, which WGSL lacks, within 9e-8: x + x q(x^2) for small |x|, 1 - exp(-p(|x|)) for the rest. Both
// polynomials were fitted for least maximal error, weighted by what an error in them does to the result.
fn erf(x: Lanes) -> Lanes {
    // Beyond 4 the result rounds to 1, and the second polynomial is not fitted.
    let t = min(abs(x), Lanes(4.0));
    let s = t * t;
    let q = ((((s * -6.0903683e-4 + 5.0119646e-3) * s - 2.6778910e-2) * s + 1.1282141e-1) * s - 3.7612525e-1) * s
        + 1.2837915e-1;
    let p = ((((((t * 2.0828522e-5 - 4.3139246e-4) * t + 4.1562496e-3) * t - 2.5080603e-2) * t + 1.0822036e-1) * t
        + 6.3340086e-1) * t + 1.1294883) * t - 1.6920309e-4;
    return sign(x) * select(Lanes(1.0) - exp(-p), t + t * q, t < Lanes(0.9));
}
