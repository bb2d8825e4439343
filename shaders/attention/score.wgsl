// Blocked softmax attention, forward and backward: parameters, the arithmetic of one score, and where rows lie.
struct Params {
    sections: array<vec4<u32>, 4>,  // where in the auxiliary buffer what lies
    batch: u32,
    query_time: u32,
    key_time: u32,
    heads: u32,
    kv_heads: u32,
    scale: f32,
    softcap: f32,
    band_left: i32,        // unlimited is 1 << 29, as are the longest lengths, so that sums of three fit an i32
    band_right: i32,
    shift: i32,            // key position aligned with query 0, unless a tensor has it
    splits: u32,
    count: u32,            // workgroups with work
    row_tiles: u32,
    list_capacity: u32,    // words that each block list has room for
    relative_shift: i32,   // row of the relative keys for key 0, seen from query 0; or from position 0, where a tensor has query 0's
    relative_count: u32,
    relative_first: i32,   // rows of the relative keys that the mask may show, from the first to the last
    relative_last: i32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Scores of four pairs, in units of log2, so that exp2 and no further product follows; and their derivatives, by what softcap is taken
// of, and by what is added behind it. `apart` is query - key once more: rules that go by distance find it as a number of the tile plus
// constants, and so compute and read each distance of a tile once, not once a pair.
struct Scored {
    score: vec4<f32>,
    slope: vec4<f32>,
    added_slope: vec4<f32>,
}

fn score(product: vec4<f32>, batch: u32, head: vec4<u32>, query: vec4<i32>, key: vec4<i32>, apart: vec4<i32>) -> Scored {
    var scored = Scored(product, vec4(1.0), vec4(1.0));
    if CONTENT {
        scored.score += content(batch, head, query, key, apart);
    }
    // A product that is not finite is not a number from here on, where it would not become one by itself: minus infinity would pass for
    // hidden, and softcap and rules in WGSL may make any of them finite.
    let bits = bitcast<vec4<u32>>(scored.score);
    let broken = select(bits == vec4(MINUS_INFINITY), is_not_finite(scored.score), SOFTCAP || CUSTOM);
    if SOFTCAP {
        // tanh is 1 beyond 10 in f32; some drivers overflow there. Near 0 they may lose all but the fifth decimal, which a large cap
        // would show: there it is its series.
        let x = clamp(scored.score * (params.scale / params.softcap), vec4(-10.0), vec4(10.0));
        let t = select(tanh(x), x - x * x * x / 3.0, abs(x) < vec4(0.01));
        scored.score = t * (params.softcap * LOG2_E);
        scored.slope = vec4(1.0) - t * t;
        scored.score = select(scored.score, bitcast<vec4<f32>>(bits | vec4(NOT_A_NUMBER)), broken);
    } else {
        scored.score = bitcast<vec4<f32>>(bits | select(vec4(0u), vec4(NOT_A_NUMBER), broken));
        scored.score *= params.scale * LOG2_E;
    }
    if ADDED {
        scored.score = fma(added(batch, head, query, key, apart), vec4(LOG2_E), scored.score);
    }
    if CUSTOM {
        let before = scored.score / LOG2_E;
        scored.score = custom(before, batch, head, query, key) * LOG2_E;
        scored.added_slope = custom_slope(before, batch, head, query, key);
        scored.slope *= scored.added_slope;
    }
    return scored;
}

// Which of four keys lie in the range that a query sees; or of four queries, in the range that a key is seen by.
fn visible(at: vec4<i32>, first: i32, last: i32) -> vec4<bool> {
    if BAND || SEGMENTS {
        return (at >= vec4(first)) & (at <= vec4(last));
    }
    return at <= vec4(last);
}

// Where the query and output row of row r of a key head's rows lies, in rows.
fn query_place(batch: u32, kv_head: u32, r: u32) -> u32 {
    return (batch * params.query_time + r / GROUP) * params.heads + kv_head * GROUP + r % GROUP;
}

// Where key and value rows lie, in rows.
fn key_place(batch: u32, kv_head: u32, position: u32) -> u32 {
    return (batch * params.key_time + position) * params.kv_heads + kv_head;
}
