// Gradients of queries, in rows whose HEAD_SIZE is a multiple of 4.
@group(0) @binding(9) var<storage, read_write> dq: array<KeyPack>;

fn store_dq(row: u32, pack: u32, x: vec4<f32>) {
    dq[row + pack] = KeyPack(x);
}
