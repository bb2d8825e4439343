const SQRT_HALF_OVER_PI: f32 = 0.39894228; // the normal density at 0

// Phi(x) + x phi(x). Beyond the bound the density is below 1e-40, and a square may overflow. With gelu.wgsl and erf.wgsl.
fn slope(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-14.0), Lanes(14.0));
    return 0.5 * (1.0 + erf(t * SQRT_HALF)) + SQRT_HALF_OVER_PI * t * exp(-0.5 * t * t);
}
