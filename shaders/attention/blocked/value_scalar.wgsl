// Value and output rows of any VALUE_SIZE.
@group(0) @binding(3) var<storage, read> value: array<ValuePack>;
@group(0) @binding(4) var<storage, read_write> out: array<OutPack>;

const VALUE_STRIDE: u32 = VALUE_SIZE;

// Channels past the end repeat the last one; store_out drops them.
fn load_value(row: u32, pack: u32) -> vec4<f32> {
    let at = vec4(row) + min(vec4(pack * 4u) + vec4(0u, 1u, 2u, 3u), vec4(VALUE_SIZE - 1u));
    return vec4(f32(value[at.x]), f32(value[at.y]), f32(value[at.z]), f32(value[at.w]));
}

fn store_out(row: u32, pack: u32, x: vec4<f32>) {
    let channel = pack * 4u;
    for (var i = 0u; i < min(4u, VALUE_SIZE - channel); i++) {
        out[row + channel + i] = OutPack(x[i]);
    }
}
