// 2 sqrt(2 / pi)
const GELU_TANH_SLOPE: f32 = 1.5957691;

// x (1 + tanh(u)) / 2 is x sigmoid(2 u), which cancels nowhere. Beyond 20 the sigmoid is 0 or 1, and a cube may overflow. With
// sigmoid.wgsl.
fn gelu_tanh(x: Lanes) -> Lanes {
    let t = clamp(x, Lanes(-20.0), Lanes(20.0));
    return x * sigmoid(GELU_TANH_SLOPE * (t + 0.044715 * (t * t * t)));
}
