// Attention along index maps, forward and backward: which row a slot of the order points at, and the score of a pair.
//
// The index of a batch item and head is a line of integers: an entry for each slot of the queries, round after round, then for each slot of
// the keys, where these have an order of their own; the bucket of each position in each round (SAME_BUCKET); and its chunk in each round
// (DEDUPLICATED). An entry is a position, with HIDDEN beside it where nobody sees the key, or negative where the slot is empty.
struct Params {
    batch: u32,
    kv_heads: u32,     // as many as heads of the query
    query_time: u32,
    key_time: u32,
    result_time: u32,  // of the output: positions where rounds are merged, else slots
    count: u32,        // workgroups with work
    splits: u32,
    line: u32,         // integers of the index of one batch item and head
    queries_from: u32, // where in a line the entries of queries begin, and so on
    keys_from: u32,
    buckets_from: u32,
    chunks_from: u32,
    round: u32,        // of the rows
    rounds: u32,
    query_slots: u32,  // of one round
    key_slots: u32,
    query_chunk: u32,
    key_chunk: u32,
    chunks: u32,       // of one round
    group_chunks: u32, // that lie together: none meets one beyond
    before: u32,       // chunks of keys before a query's own, and behind it
    after: u32,
    shown_from: u32,   // keys from this position on are seen by all
    nearest: u32,      // as i32: how far before a query the keys lie that it sees, BANDED
    farthest: u32,
    earlier: u32,      // whether there are rounds before, whose results this one's are added to
    scale: f32,
    self_score: f32,   // of a token and itself, in units of log2
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(6) var<storage, read> index: array<i32>;

const HIDDEN: i32 = 1 << 30;

fn query_entry(batch: u32, head: u32, slot: u32) -> i32 {
    return index[(batch * params.kv_heads + head) * params.line + params.queries_from + slot];
}

fn key_entry(batch: u32, head: u32, slot: u32) -> i32 {
    return index[(batch * params.kv_heads + head) * params.line + params.keys_from + slot];
}

// An empty slot has the first position, whose row exists.
fn position_of(entry: i32) -> u32 {
    return u32(max(entry, 0) & (HIDDEN - 1));
}

fn query_place(batch: u32, head: u32, entry: i32) -> u32 {
    return (batch * params.query_time + min(position_of(entry), params.query_time - 1u)) * params.kv_heads + head;
}

fn key_place(batch: u32, head: u32, entry: i32) -> u32 {
    return (batch * params.key_time + min(position_of(entry), params.key_time - 1u)) * params.kv_heads + head;
}

// Where the output of a slot of the queries lies, in rows.
fn result_place(batch: u32, head: u32, slot: u32, entry: i32) -> u32 {
    if MERGED {
        return query_place(batch, head, entry);
    }
    return (batch * params.result_time + slot) * params.kv_heads + head;
}

// And what else is known of it, in rows that have heads first.
fn statistics_place(batch: u32, head: u32, slot: u32, entry: i32) -> u32 {
    let time = select(slot, min(position_of(entry), params.query_time - 1u), MERGED);
    return (batch * params.kv_heads + head) * params.result_time + time;
}

// A column is a slot of any round, counted from one turn of the ring before the first, so that none is negative.
fn around(column: u32, slots: u32) -> u32 {
    if STOPS {
        return column - slots;
    }
    let once = select(column, column - slots, column >= slots);
    return select(once, once - slots, once >= slots);
}

// a / b. Processors divide vectors of integers one by one, and those of floats at once. As long as a is below 2^22,
// the quotient of floats is off by 1 at most.
fn quotient(a: u32, b: u32) -> u32 {
    if !FEW_SLOTS {
        return a / b;
    }
    var found = u32(f32(a) / f32(b));
    found -= u32(found * b > a);
    return found + u32(a - found * b >= b);
}

// The chunks that those of a row's chunk meet: [x, y), from one turn of the ring before the first.
fn chunks_met(own: u32, before: u32, after: u32) -> vec2<i32> {
    let first = i32(params.round * params.chunks);
    let chunk = first + i32(own);
    var met = vec2(chunk - i32(before), chunk + i32(after) + 1);
    if STOPS {
        let group = first + i32(quotient(own, params.group_chunks) * params.group_chunks);
        met = clamp(met, vec2(group), vec2(group + i32(params.group_chunks)));
    }
    return met + vec2(i32(params.rounds * params.chunks));
}

struct Scored {
    score: vec4<f32>,
    slope: vec4<f32>,
}

// Scores of four pairs, in units of log2, and their derivatives by the scaled products. Columns are those of the pairs; their other end is of
// the rows' round.
fn score(product: vec4<f32>, batch: u32, head: u32, query: vec4<i32>, key: vec4<i32>, columns: vec4<u32>, in_range: vec4<bool>) -> Scored {
    var scored = Scored(minus_infinity_to_nan(product) * (params.scale * LOG2_E), vec4(1.0));

    let query_position = max(query, vec4(0)) & vec4(HIDDEN - 1);
    let key_position = max(key, vec4(0)) & vec4(HIDDEN - 1);
    var seen = vec4(true);
    if CAUSAL {
        seen = seen & ((key_position <= query_position) | (key_position >= vec4(i32(params.shown_from))));
    }
    if BANDED {
        let apart = query_position - key_position;
        seen = seen & (apart >= vec4(i32(params.nearest))) & (apart <= vec4(i32(params.farthest)));
    }
    if SAME_BUCKET {
        seen = seen & in_same_bucket(batch, head, query_position, key_position, columns);
    }
    if DEDUPLICATED {
        scored.score -= log2(meetings(batch, head, query_position, key_position));
    }
    if SELF {
        let own = query_position == key_position;
        scored.score = select(scored.score, vec4(params.self_score), own);
        scored.slope = select(vec4(1.0), vec4(0.0), own);
        seen = seen | own;
    }
    seen = seen & in_range & (query >= vec4(0)) & (key >= vec4(0)) & (key < vec4(HIDDEN));
    scored.score = select(vec4(EMPTY_ROW_LSE), scored.score, seen);
    return scored;
}

fn visible(at: vec4<i32>, first: i32, last: i32) -> vec4<bool> {
    return (at >= vec4(first)) & (at <= vec4(last));
}
