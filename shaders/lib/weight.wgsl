// Where exp is 0 for long.
const FAR_BELOW: f32 = -1e30;

// exp(x - largest). Halves, which are exact, because the difference itself may overflow, which WGSL leaves undefined.
fn weight(x: Lanes, largest: f32) -> Lanes {
    return exp(2.0 * max(0.5 * x - 0.5 * largest, Lanes(FAR_BELOW)));
}
