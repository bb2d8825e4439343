// From a score to its weight, and what blocked/backward/statistics.wgsl has found out about rows, of all rounds together.
struct RowStatistics {
    largest: f32,  // the largest score
    inverse: f32,  // of the sum of weights relative to it
    d: f32,
}

@group(0) @binding(7) var<storage, read> row_statistics: array<f32>;

fn statistics_at(place: u32) -> RowStatistics {
    let at = 3u * place;
    return RowStatistics(row_statistics[at], row_statistics[at + 1u], row_statistics[at + 2u]);
}

// exp(s - m) / l, 0 where the pair is hidden.
fn weight(score: vec4<f32>, largest: vec4<f32>, inverse: vec4<f32>) -> vec4<f32> {
    return select(exp2(score - largest) * inverse, vec4(0.0), is_hidden(score));
}

// The gradient of a score, of that of its weight: P (d_out . v - D).
fn d_score_of(weight: vec4<f32>, d_weight: vec4<f32>, score: vec4<f32>) -> vec4<f32> {
    return select(weight * d_weight, vec4(0.0), is_hidden(score));
}

fn with_slope(gradient: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
    return gradient * slope;
}
