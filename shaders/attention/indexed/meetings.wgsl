// How often a query meets a key in all rounds together, at least once.
fn chunk_of(batch: u32, head: u32, round: u32, position: i32) -> i32 {
    let time = min(u32(position), params.query_time - 1u) + round * params.query_time;
    return index[(batch * params.kv_heads + head) * params.line + params.chunks_from + time];
}

fn is_within(apart: i32) -> i32 {
    return i32(apart >= -i32(params.before) && apart <= i32(params.after));
}

fn meetings(batch: u32, head: u32, query: vec4<i32>, key: vec4<i32>) -> vec4<f32> {
    let turn = i32(params.rounds * params.chunks);
    var counts = vec4(0);
    for (var round = 0u; round < params.rounds; round++) {
        for (var i = 0u; i < 4u; i++) {
            if SAME_BUCKET && bucket_of(batch, head, round, query[i]) != bucket_of(batch, head, round, key[i]) {
                continue;
            }
            let own = chunk_of(batch, head, round, query[i]);
            // The rounds of a ring meet at their borders; pairs in the same bucket are of the same round.
            const APART: bool = !STOPS && !SAME_BUCKET;
            for (var other = select(round, 0u, APART); other < select(round + 1u, params.rounds, APART); other++) {
                let apart = chunk_of(batch, head, other, key[i]) - own + (i32(other) - i32(round)) * i32(params.chunks);
                counts[i] += is_within(apart);
                if !STOPS {
                    counts[i] += is_within(apart - turn) + is_within(apart + turn);
                }
            }
        }
    }
    return vec4<f32>(max(counts, vec4(1)));
}
