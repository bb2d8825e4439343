// Decays of each channel: the sums of a key's log decays from the beginning of its chunk, for four channels, in two parts that are subtracted
// each by itself (decays.wgsl.j2).
struct Logs {
    coarse: vec4<f32>,
    fine: vec4<f32>,
}

const CHANNEL_PACKS: u32 = (HEAD_SIZE + 3u) / 4u;

fn logs_left(place: u32, pack: u32) -> Logs {
    let at = 2u * (place * CHANNEL_PACKS + pack);
    return Logs(load_decays(at), load_decays(at + 1u));
}

// The same behind the last key of the chunk.
fn logs_left_of_chunk(batch: u32, kv_head: u32, chunk: u32, pack: u32) -> Logs {
    return logs_left(key_place(batch, kv_head, min((chunk + 1u) * params.chunk, params.key_time) - 1u), pack);
}

// What is left of the beginning of the chunk.
fn left(logs: Logs) -> vec4<f32> {
    return exp(logs.coarse + logs.fine);
}

// What is left, at the later of two times, of what was at the earlier one. Of pairs that do not meet nothing overflows.
fn left_between(late: Logs, early: Logs) -> vec4<f32> {
    return exp(min((late.coarse - early.coarse) + (late.fine - early.fine), vec4(0.0)));
}
