// From a score to its weight, and what statistics.wgsl has found out about rows.
struct RowStatistics {
    largest: f32,  // the largest score
    inverse: f32,  // of the sum of weights relative to it
    d: f32,
}

fn statistics_of(batch: u32, kv_head: u32, row: u32) -> RowStatistics {
    let at = section(STATISTICS) + 3u * ((batch * params.kv_heads + kv_head) * params.query_time * GROUP + row);
    return RowStatistics(real(at), real(at + 1u), real(at + 2u));
}

// exp(s - m) / l, 0 where the pair is hidden.
fn weight(score: vec4<f32>, largest: vec4<f32>, inverse: vec4<f32>) -> vec4<f32> {
    var apart = score - largest;
    if PACKED {
        // Where ids are out of order, the maximum may come from other keys; that must not overflow.
        apart = min(apart, vec4(0.0));
    }
    return select(exp2(apart) * inverse, vec4(0.0), is_hidden(score));
}

// The gradient of a score, of that of its weight: P (d_out . v - D).
fn d_score_of(weight: vec4<f32>, d_weight: vec4<f32>, score: vec4<f32>) -> vec4<f32> {
    return select(weight * d_weight, vec4(0.0), is_hidden(score));
}

// A gradient on its way through what its score went through.
fn with_slope(gradient: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
    if CUSTOM {
        // A rule of users may have no slope where nothing is seen.
        return select(gradient * slope, vec4(0.0), gradient == vec4(0.0));
    }
    if SOFTCAP {
        return gradient * slope;
    }
    return gradient;
}
