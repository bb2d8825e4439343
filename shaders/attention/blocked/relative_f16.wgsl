// Relative keys of f16 whose HEAD_SIZE is a multiple of 4, read as pairs.
@group(0) @binding(8) var<storage, read> relative_keys: array<vec2<u32>>;

fn load_relative(row: u32, pack: u32) -> vec4<f32> {
    let x = relative_keys[row + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
