// The place of row `at` of a head's relative keys, in rows, counted from the farthest after the query. Rows behind either end belong to pairs
// that are hidden.
fn relative_row(at: i32, head: u32) -> u32 {
    return u32(clamp(at, 0, i32(params.relative_count) - 1)) * params.heads + head;
}

// That of the distance which lies between query and key when `apart` is query - key.
fn relative_place(apart: i32, batch: u32, head: u32) -> u32 {
    return relative_row(apart + relative_shift(batch), head);
}

fn load_relative_keys_at(at: i32, batch: u32, head: u32, pack: u32) -> vec4<f32> {
    return load_relative_keys(relative_row(at, head) * KEY_STRIDE, pack);
}
