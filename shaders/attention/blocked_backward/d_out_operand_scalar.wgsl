// Upstream gradient in rows of any VALUE_SIZE, as fragments take it; channels past the end read as 0, which takes what load_value repeats
// there out of products.
@group(0) @binding(4) var<storage, read> d_out: array<ValuePack>;

fn load_d_out(row: u32, pack: u32) -> vec4<Operand> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(VALUE_SIZE - 1u));
    let x = vec4(d_out[at.x], d_out[at.y], d_out[at.z], d_out[at.w]);
    return select(vec4<Operand>(), x, channel < vec4(VALUE_SIZE));
}
