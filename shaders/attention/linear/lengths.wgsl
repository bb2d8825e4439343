// The number of keys of each batch item, from none to all.
fn element(i: u32) {
    store_aux(i, u32(clamp(load_lengths(i), 0, i32(params.key_time))));
}
