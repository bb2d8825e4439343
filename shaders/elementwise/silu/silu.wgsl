// With sigmoid.wgsl.
fn silu(x: Lanes) -> Lanes {
    return x * sigmoid(x);
}
