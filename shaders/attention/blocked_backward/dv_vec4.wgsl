// Gradients of values, in rows whose VALUE_SIZE is a multiple of 4.
@group(0) @binding(10) var<storage, read_write> dv: array<ValuePack>;

fn store_dv(row: u32, pack: u32, x: vec4<f32>) {
    dv[row + pack] = ValuePack(x);
}
