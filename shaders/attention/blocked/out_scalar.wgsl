// Output rows of any VALUE_SIZE.
@group(0) @binding(4) var<storage, read_write> out: array<OutPack>;

fn store_out(row: u32, pack: u32, x: vec4<f32>) {
    let channel = pack * 4u;
    for (var i = 0u; i < min(4u, VALUE_SIZE - channel); i++) {
        out[row + channel + i] = OutPack(x[i]);
    }
}
