const SQRT_HALF: f32 = 0.70710678;

// With erf.wgsl.
fn gelu(x: Lanes) -> Lanes {
    return 0.5 * x * (1.0 + erf(x * SQRT_HALF));
}
