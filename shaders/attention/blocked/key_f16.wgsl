// Query and key rows of f16 whose HEAD_SIZE is a multiple of 4, read as pairs: half the loads.
@group(0) @binding(1) var<storage, read> query: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> key: array<vec2<u32>>;

const KEY_STRIDE: u32 = HEAD_SIZE / 4u;
const QUERY_STRIDE: u32 = KEY_STRIDE * QUERY_VECTORS;

fn load_query(row: u32, pack: u32) -> vec4<f32> {
    let x = query[row + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}

fn load_key(row: u32, pack: u32) -> vec4<f32> {
    let x = key[row + pack];
    return vec4(unpack2x16float(x.x), unpack2x16float(x.y));
}
