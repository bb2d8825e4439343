@group(0) @binding(5) var<storage, read> bias: array<Pack>;

fn biased(y: Lanes, i: u32) -> Lanes {
    return y + Lanes(bias[i]);
}
