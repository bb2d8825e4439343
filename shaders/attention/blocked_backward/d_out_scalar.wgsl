// Upstream gradient in rows of any VALUE_SIZE; channels past the end read as 0, which takes what load_value repeats there out
// of products.
@group(0) @binding(4) var<storage, read> d_out: array<ValuePack>;

fn load_d_out(row: u32, pack: u32) -> vec4<f32> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(VALUE_SIZE - 1u));
    let x = vec4(f32(d_out[at.x]), f32(d_out[at.y]), f32(d_out[at.z]), f32(d_out[at.w]));
    return select(vec4(0.0), x, channel < vec4(VALUE_SIZE));
}
