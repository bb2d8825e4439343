// Query and key rows of any HEAD_SIZE; channels past the end read as 0.
@group(0) @binding(1) var<storage, read> query: array<KeyPack>;
@group(0) @binding(2) var<storage, read> key: array<KeyPack>;

const KEY_STRIDE: u32 = HEAD_SIZE;
const QUERY_STRIDE: u32 = KEY_STRIDE * QUERY_VECTORS;

// The index of a channel is clamped rather than its load guarded: a branch costs more than a spare load.
fn load_query(row: u32, pack: u32) -> vec4<f32> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(f32(query[at.x]), f32(query[at.y]), f32(query[at.z]), f32(query[at.w]));
    return select(vec4(0.0), x, channel < vec4(HEAD_SIZE));
}

fn load_key(row: u32, pack: u32) -> vec4<f32> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(f32(key[at.x]), f32(key[at.y]), f32(key[at.z]), f32(key[at.w]));
    return select(vec4(0.0), x, channel < vec4(HEAD_SIZE));
}
