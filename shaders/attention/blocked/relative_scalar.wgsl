// Relative keys of any HEAD_SIZE; see relative_vec4.wgsl. Channels past the end read as 0.
@group(0) @binding(8) var<storage, read> relative_keys: array<KeyPack>;

fn load_relative(row: i32, head: u32, pack: u32) -> vec4<f32> {
    let place = u32(clamp(row, 0, i32(params.relative_count) - 1)) * params.heads + head;
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(place * KEY_STRIDE) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(f32(relative_keys[at.x]), f32(relative_keys[at.y]), f32(relative_keys[at.z]), f32(relative_keys[at.w]));
    return select(vec4(0.0), x, channel < vec4(HEAD_SIZE));
}
