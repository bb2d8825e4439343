@group(0) @binding(3) var<storage, read> lengths: array<i32>;

fn positions_of(item: u32, segment: u32) -> vec2<u32> {
    return vec2(0u, min(u32(max(lengths[item], 0)), params.time));
}
