// Each batch item has its own number of keys.
fn key_end(batch: u32) -> i32 {
    return clamp(integer(section(LENGTHS) + batch), 0, i32(params.key_time));
}
