// From a score to its weight, and to the factor that its gradient gets on the way through softcap.

@group(0) @binding(5) var<storage, read> statistics: array<vec2<f32>>;  // [batch, kv_head, query, member], as statistics.wgsl writes them

fn statistics_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return (batch * params.kv_heads + kv_head) * params.query_time * GROUP + row;
}

// exp(s - L). Hidden scores and rows that see nothing are 1e30 below, which gives 0.
fn weight(score: vec4<f32>, lse: vec4<f32>) -> vec4<f32> {
    if SEGMENTS {
        // Where ids are out of order, L may come from other keys; that must not overflow.
        return exp2(min(score - lse, vec4(0.0)));
    }
    return exp2(score - lse);
}

// The derivative of a score c tanh(x / c) by x; `score` is in units of log2.
fn slope(score: vec4<f32>) -> vec4<f32> {
    if SOFTCAP {
        // Hidden scores lie far below -c, where the square leaves f32.
        let cap = params.softcap * LOG2_E;
        let t = max(score, vec4(-cap)) / cap;
        return vec4(1.0) - t * t;
    }
    return vec4(1.0);
}
