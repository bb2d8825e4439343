// Upstream gradient of f16 whose VALUE_SIZE is a multiple of 4, read as pairs; see key_f16.wgsl.
@group(0) @binding(4) var<storage, read> d_out: array<vec2<u32>>;

fn load_d_out(row: u32, pack: u32) -> vec4<f32> {
    let x = d_out[row + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
