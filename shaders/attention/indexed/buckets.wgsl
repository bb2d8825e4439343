// Pairs of one bucket: those in the same round whose positions have the same number there.
fn bucket_of(batch: u32, head: u32, round: u32, position: i32) -> i32 {
    let time = min(u32(position), params.query_time - 1u) + round * params.query_time;
    return index[(batch * params.kv_heads + head) * params.line + params.buckets_from + time];
}

fn in_same_bucket(batch: u32, head: u32, query: vec4<i32>, key: vec4<i32>, columns: vec4<u32>) -> vec4<bool> {
    var same: vec4<bool>;
    for (var i = 0u; i < 4u; i++) {
        same[i] = round_of(columns[i]) == params.round
            && bucket_of(batch, head, params.round, query[i]) == bucket_of(batch, head, params.round, key[i]);
    }
    return same;
}
