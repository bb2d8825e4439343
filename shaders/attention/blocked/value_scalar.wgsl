// Value rows of any VALUE_SIZE.
@group(0) @binding(3) var<storage, read> value: array<ValuePack>;

const VALUE_STRIDE: u32 = VALUE_SIZE;

// Channels past the end repeat the last one; whatever they meet is 0 or dropped.
fn load_value(row: u32, pack: u32) -> vec4<f32> {
    let at = vec4(row) + min(vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u), vec4(VALUE_SIZE - 1u));
    return vec4(f32(value[at.x]), f32(value[at.y]), f32(value[at.z]), f32(value[at.w]));
}
