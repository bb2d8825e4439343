// Relative keys of any HEAD_SIZE; channels past the end read as 0.
@group(0) @binding(8) var<storage, read> relative_keys: array<KeyPack>;

fn load_relative(row: u32, pack: u32) -> vec4<f32> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(f32(relative_keys[at.x]), f32(relative_keys[at.y]), f32(relative_keys[at.z]), f32(relative_keys[at.w]));
    return select(vec4(0.0), x, channel < vec4(HEAD_SIZE));
}
