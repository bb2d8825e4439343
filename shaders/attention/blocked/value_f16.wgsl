// Value rows of f16 whose VALUE_SIZE is a multiple of 4, read as pairs; see key_f16.wgsl.
@group(0) @binding(3) var<storage, read> value: array<vec2<u32>>;

const VALUE_STRIDE: u32 = VALUE_SIZE / 4u;

fn load_value(row: u32, pack: u32) -> vec4<f32> {
    let x = value[row + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
