@group(0) @binding(4) var<storage, read> residual: array<Pack>;

fn element(i: u32) -> Lanes {
    return Lanes(x[i]) + Lanes(residual[i]);
}
