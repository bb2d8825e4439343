// Query and key rows whose HEAD_SIZE is a multiple of 4, as fragments take them.
@group(0) @binding(1) var<storage, read> query: array<KeyPack>;
@group(0) @binding(2) var<storage, read> key: array<KeyPack>;

const KEY_STRIDE: u32 = HEAD_SIZE / 4u;
const QUERY_STRIDE: u32 = KEY_STRIDE * QUERY_VECTORS;

fn load_query(row: u32, pack: u32) -> vec4<Operand> {
    return query[row + pack];
}

fn load_key(row: u32, pack: u32) -> vec4<Operand> {
    return key[row + pack];
}
