// The pass that owns relative keys, one of each distance, and walks over the queries of every batch item.
fn row_count() -> u32 {
    return params.relative_count;
}

fn active_row_count(batch: u32) -> u32 {
    return row_count();
}

// Rows of all batch items and heads.
fn place_count() -> u32 {
    return params.relative_count * params.heads;
}

fn row_place(batch: u32, kv_head: u32, row: u32) -> u32 {
    return row * params.heads + kv_head;
}

fn column_place(batch: u32, kv_head: u32, column: u32) -> u32 {
    return query_place(batch, kv_head, column);
}

// Keys and values at a distance from a query; those behind either end belong to pairs that there are not.
fn load_key_at(position: i32, batch: u32, kv_head: u32, pack: u32) -> vec4<f32> {
    let at = u32(clamp(position, 0, i32(params.key_time) - 1));
    return load_key(key_place(batch, kv_head, at) * KEY_STRIDE, pack);
}

fn load_value_at(position: i32, batch: u32, kv_head: u32, pack: u32) -> vec4<f32> {
    let at = u32(clamp(position, 0, i32(params.key_time) - 1));
    return load_value(key_place(batch, kv_head, at) * VALUE_STRIDE, pack);
}
