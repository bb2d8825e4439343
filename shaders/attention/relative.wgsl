// The place of a relative key, in rows: of the distance that lies between query and key when `apart` is query - key. Distances behind
// either end belong to pairs that are hidden.
fn relative_place(apart: i32, head: u32) -> u32 {
    return u32(clamp(apart + params.relative_shift, 0, i32(params.relative_count) - 1)) * params.heads + head;
}

// As row `at` of a head's relative keys, counted from the farthest after the query.
fn load_relative_keys_at(at: i32, batch: u32, head: u32, pack: u32) -> vec4<f32> {
    return load_relative_keys(relative_place(at - params.relative_shift, head) * KEY_STRIDE, pack);
}
