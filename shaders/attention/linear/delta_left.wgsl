// Four channels of the rows that the delta rule writes, as far as decays of channels leave them at the end of their chunk; behind all these rows, for
// each state, what is left of it behind the chunk that it stands before.
fn element(i: u32) {
    let row = i / PACKS;
    let pack = i % PACKS;
    let keys = params.batch * params.key_time * params.kv_heads;
    if row < keys {
        let kv_head = row % params.kv_heads;
        let time = row / params.kv_heads % params.key_time;
        let batch = row / params.kv_heads / params.key_time;
        let behind = logs_left_of_chunk(batch, kv_head, time / params.chunk, pack);
        store_kept(i, written_row(row, pack) * left_between(behind, logs_left(row, pack)));
        return;
    }
    let kv_head = (row - keys) % params.kv_heads;
    let batch = (row - keys) / params.kv_heads % params.batch;
    let chunk = (row - keys) / params.kv_heads / params.batch;
    if params.key_time == 0u {
        store_kept(i, vec4(1.0));
    } else {
        store_kept(i, left(logs_left_of_chunk(batch, kv_head, chunk, pack)));
    }
}
