// Relative keys of f16 whose HEAD_SIZE is a multiple of 4, read as pairs; see relative_vec4.wgsl.
@group(0) @binding(8) var<storage, read> relative_keys: array<vec2<u32>>;

fn load_relative(row: i32, head: u32, pack: u32) -> vec4<f32> {
    let place = u32(clamp(row, 0, i32(params.relative_count) - 1)) * params.heads + head;
    let x = relative_keys[place * KEY_STRIDE + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
