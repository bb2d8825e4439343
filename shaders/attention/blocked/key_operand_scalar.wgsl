// Query and key rows of any HEAD_SIZE, as fragments take them; channels past the end read as 0.
@group(0) @binding(1) var<storage, read> query: array<KeyPack>;
@group(0) @binding(2) var<storage, read> key: array<KeyPack>;

const KEY_STRIDE: u32 = HEAD_SIZE;
const QUERY_STRIDE: u32 = KEY_STRIDE * QUERY_VECTORS;

fn load_query(row: u32, pack: u32) -> vec4<Operand> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(query[at.x], query[at.y], query[at.z], query[at.w]);
    return select(vec4<Operand>(), x, channel < vec4(HEAD_SIZE));
}

fn load_key(row: u32, pack: u32) -> vec4<Operand> {
    let channel = vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u);
    let at = vec4(row) + min(channel, vec4(HEAD_SIZE - 1u));
    let x = vec4(key[at.x], key[at.y], key[at.z], key[at.w]);
    return select(vec4<Operand>(), x, channel < vec4(HEAD_SIZE));
}
