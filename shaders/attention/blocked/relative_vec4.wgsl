// Relative keys whose HEAD_SIZE is a multiple of 4.
@group(0) @binding(8) var<storage, read> relative_keys: array<KeyPack>;

fn load_relative(row: u32, pack: u32) -> vec4<f32> {
    return vec4<f32>(relative_keys[row + pack]);
}
