// Each batch item has its own number of keys.
@group(0) @binding(6) var<storage, read> lengths: array<i32>;

fn key_end(batch: u32) -> i32 {
    return clamp(lengths[batch], 0, i32(params.key_time));
}
