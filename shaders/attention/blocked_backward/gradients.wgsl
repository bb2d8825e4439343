// From a score to its weight, and what statistics.wgsl has found out about rows.
fn statistics_of(batch: u32, kv_head: u32, row: u32) -> vec2<f32> {
    let at = section(STATISTICS) + 2u * ((batch * params.kv_heads + kv_head) * params.query_time * GROUP + row);
    return vec2(real(at), real(at + 1u));
}

// exp(s - L). Hidden scores and rows that see nothing are 1e30 below, which gives 0.
fn weight(score: vec4<f32>, lse: vec4<f32>) -> vec4<f32> {
    if PACKED {
        // Where ids are out of order, L may come from other keys; that must not overflow.
        return exp2(min(score - lse, vec4(0.0)));
    }
    return exp2(score - lse);
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
