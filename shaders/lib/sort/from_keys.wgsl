// The first pass finds bare keys, in order.
@group(0) @binding(1) var<storage, read> keys: array<u32>;

// A key with where it was before the sort.
fn item(i: u32) -> vec2<u32> {
    return vec2(min(keys[i], params.most), i);
}
