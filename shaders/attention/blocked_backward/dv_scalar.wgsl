// Gradients of values, in rows of any VALUE_SIZE.
@group(0) @binding(10) var<storage, read_write> dv: array<ValuePack>;

fn store_dv(row: u32, pack: u32, x: vec4<f32>) {
    let channel = pack * 4u;
    for (var i = 0u; i < min(4u, VALUE_SIZE - channel); i++) {
        dv[row + channel + i] = ValuePack(x[i]);
    }
}
