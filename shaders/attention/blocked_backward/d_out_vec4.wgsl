// Upstream gradient in rows whose VALUE_SIZE is a multiple of 4.
@group(0) @binding(4) var<storage, read> d_out: array<ValuePack>;

fn load_d_out(row: u32, pack: u32) -> vec4<f32> {
    return vec4<f32>(d_out[row + pack]);
}
