// Gradients of queries, in rows of any HEAD_SIZE.
@group(0) @binding(9) var<storage, read_write> dq: array<KeyPack>;

fn store_dq(row: u32, pack: u32, x: vec4<f32>) {
    let channel = pack * 4u;
    for (var i = 0u; i < min(4u, HEAD_SIZE - channel); i++) {
        dq[row + channel + i] = KeyPack(x[i]);
    }
}
