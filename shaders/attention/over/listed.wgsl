// Keys by their positions: `keys[batch][head][query]` has KEYS of them. One that is negative or behind the last key is none; its row is then the
// first, of which nothing is taken.
fn key_of(row: u32, number: u32) -> Far {
    let head = row % params.heads;
    let batch = row / params.heads / params.time;
    let position = u32(load_keys(heads_first(row) * KEYS + number));
    let is_seen = position < params.key_time;
    let key = batch * params.key_time + select(0u, position, is_seen);
    return Far(key * params.kv_heads + head / (params.heads / params.kv_heads), is_seen);
}
