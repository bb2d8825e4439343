// Blocked softmax attention, forward and backward: parameters, the arithmetic of one score, and where rows lie.
struct Params {
    batch: u32,
    query_time: u32,
    key_time: u32,
    heads: u32,
    kv_heads: u32,
    scale: f32,
    softcap: f32,
    band_left: i32,   // unlimited is 1 << 29, as are the longest lengths, so that sums of three fit an i32
    band_right: i32,
    shift: i32,       // key position aligned with query 0
    splits: u32,
    count: u32,       // workgroups with work
}

@group(0) @binding(0) var<uniform> params: Params;

const LOG2_E: f32 = 1.4426950408889634;

// In units of log2, so that exp2 and no further product follows.
fn score(product: vec4<f32>) -> vec4<f32> {
    if SOFTCAP {
        // tanh is 1 beyond 10 in f32; some drivers overflow there.
        return tanh(clamp(product * (params.scale / params.softcap), vec4(-10.0), vec4(10.0))) * (params.softcap * LOG2_E);
    }
    return product * (params.scale * LOG2_E);
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
