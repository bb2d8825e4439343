// A dense bias, repeated along axes of extent 1.
@group(0) @binding(7) var<storage, read> bias: array<Bias>;  // [batch or 1, heads or 1, query_time or 1, key_time or 1]

fn bias_place(batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>) -> vec4<u32> {
    var at = vec4(select(0u, batch, BIAS_BY_BATCH));
    if BIAS_BY_HEAD {
        at = at * params.heads + head;
    }
    if BIAS_BY_QUERY {
        at = at * params.query_time + vec4<u32>(query);
    }
    if BIAS_BY_KEY {
        at = at * params.key_time + vec4<u32>(key);
    }
    return at;
}

fn load_bias(batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>) -> vec4<f32> {
    let at = bias_place(batch, head, query, key);
    return vec4(f32(bias[at.x]), f32(bias[at.y]), f32(bias[at.z]), f32(bias[at.w]));
}
