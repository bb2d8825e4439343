@group(0) @binding(5) var<storage, read> residual: array<CPack>;

fn residual_at(at: u32) -> CLanes {
    return CLanes(residual[at]);
}
