// The sums of a key head's log decays from the beginning of each chunk up to each of its times: what is left of the state before the chunk.
fn element(i: u32) {
    let kv_head = i % params.kv_heads;
    let chunk = i / params.kv_heads % params.chunks;
    let batch = i / params.kv_heads / params.chunks;
    let first = chunk * params.chunk;
    var sum = 0.0;
    for (var time = first; time < min(first + params.chunk, params.key_time); time++) {
        let at = (batch * params.key_time + time) * params.kv_heads + kv_head;
        sum += load_log_decay(at);
        store_aux(params.decays + at, bitcast<u32>(sum));
    }
}
