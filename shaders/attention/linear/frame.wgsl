// Where rows lie in query, key, value and what is made of them, and which times belong together. Rows of queries are (time, group member)
// pairs, row = time * GROUP + member; rows of keys are times. Times are cut into chunks of `params.chunk`.
//
// The auxiliary buffer holds the number of keys of each batch item (LENGTHS), from `params.bounds` on what `bounds` gives of each time
// (SEGMENTS), from `params.addends` on a number of each row of queries, and from `params.decays` on what `log_left` gives of each key (DECAYS = 1).

// Set in a bound that is a chunk's, where the sequence goes on in the chunk beyond, or in the state that is given.
const GOES_ON: u32 = 0x80000000u;

fn query_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return (batch * params.query_time + row / GROUP) * params.heads + kv_head * GROUP + row % GROUP;
}

fn key_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return (batch * params.key_time + row) * params.kv_heads + kv_head;
}

fn key_end(batch: u32) -> u32 {
    if LENGTHS {
        return load_aux(batch);
    }
    return params.key_time;
}

// The first time, and the one behind the last, of those in the chunk of `time` that are of its sequence; either with GOES_ON.
fn bounds(batch: u32, time: u32) -> vec2<u32> {
    if SEGMENTS {
        let at = params.bounds + 2u * (batch * params.key_time + time);
        return vec2(load_aux(at), load_aux(at + 1u));
    }
    let first = time / params.chunk * params.chunk;
    return vec2(first, min(first + params.chunk, params.key_time)) | vec2(GOES_ON);
}

// What a row of queries adds to all of its scores in the backward pass.
fn addend(place: u32) -> f32 {
    return bitcast<f32>(load_aux(params.addends + place));
}

// The logarithm of what is left, behind a key, of the state that stands before its chunk, in two parts that are subtracted each by itself
// (decays.wgsl.j2).
fn log_left(place: u32) -> vec2<f32> {
    let at = params.decays + 2u * place;
    return vec2(bitcast<f32>(load_aux(at)), bitcast<f32>(load_aux(at + 1u)));
}

// The same behind the last key of the chunk.
fn log_left_of_chunk(batch: u32, kv_head: u32, chunk: u32) -> vec2<f32> {
    return log_left(key_place(batch, kv_head, min((chunk + 1u) * params.chunk, params.key_time) - 1u));
}

// Whether what a walk over chunks brings to a chunk is of the sequence that the walk leaves it with.
fn goes_on(batch: u32, chunk: u32, reverse: bool) -> bool {
    if !SEGMENTS || params.key_time == 0u {
        return true;
    }
    let first = chunk * params.chunk;
    if reverse {
        return bounds(batch, first).y >= GOES_ON;
    }
    return bounds(batch, min(first + params.chunk, params.key_time) - 1u).x >= GOES_ON;
}

// The number of the state of a chunk.
fn state_of(batch: u32, kv_head: u32, chunk: u32) -> u32 {
    return (chunk * params.batch + batch) * params.kv_heads + kv_head;
}
