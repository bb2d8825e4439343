// Relative keys whose HEAD_SIZE is a multiple of 4. Rows behind either end belong to pairs that are hidden.
@group(0) @binding(8) var<storage, read> relative_keys: array<KeyPack>;

fn load_relative(row: i32, head: u32, pack: u32) -> vec4<f32> {
    let place = u32(clamp(row, 0, i32(params.relative_count) - 1)) * params.heads + head;
    return vec4<f32>(relative_keys[place * KEY_STRIDE + pack]);
}
