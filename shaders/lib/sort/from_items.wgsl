@group(0) @binding(1) var<storage, read> items: array<vec2<u32>>;

// A key with where it was before the sort.
fn item(i: u32) -> vec2<u32> {
    return items[i];
}
