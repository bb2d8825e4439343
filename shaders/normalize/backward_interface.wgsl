struct Params {
    rows: u32,
    // In packs, and in elements.
    width: u32,
    elements: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read> scale: array<Pack>;
@group(0) @binding(3) var<storage, read> upstream: array<Pack>;

fn element(i: u32) -> Lanes {
    return Lanes(x[i]);
}

// The gradient of the normalised element, before it was scaled.
fn gradient(first: u32, i: u32) -> Lanes {
    return Lanes(upstream[first + i]) * Lanes(scale[i]);
}

// What a row's gradients are made with: its factor, 1 / sqrt(mean(d^2) + eps) for deviations d, and the means of g and of
// g d factor^2. `sums` are those of d^2, g and g d.
struct Row {
    factor: f32,
    level: f32,
    along: f32,
}

fn row_of(sums: vec4<f32>) -> Row {
    let means = sums / f32(params.elements);
    let factor = inverseSqrt(means.x + params.eps);
    return Row(factor, level(means.y), means.z * factor * factor);
}

// What changes the result: neither a shift of the row, where its mean is taken off, nor its length.
fn slope(g: Lanes, d: Lanes, row: Row) -> Lanes {
    return ((g - row.level) - d * row.along) * row.factor;
}
