// Output rows whose VALUE_SIZE is a multiple of 4.
@group(0) @binding(4) var<storage, read_write> out: array<OutPack>;

fn store_out(row: u32, pack: u32, x: vec4<f32>) {
    out[row + pack] = OutPack(x);
}
