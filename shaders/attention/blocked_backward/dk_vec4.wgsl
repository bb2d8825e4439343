// Gradients of keys, in rows whose HEAD_SIZE is a multiple of 4.
@group(0) @binding(9) var<storage, read_write> dk: array<KeyPack>;

fn store_dk(row: u32, pack: u32, x: vec4<f32>) {
    dk[row + pack] = KeyPack(x);
}
