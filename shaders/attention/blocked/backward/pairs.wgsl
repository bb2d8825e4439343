// Gradients of single scores, behind softcap: what a bias of every pair gets.
@group(0) @binding(12) var<storage, read_write> d_pairs: array<f32>;  // [batch, head, query_time, key_time]

fn store_pairs(batch: u32, head: u32, query: i32, key: vec4<i32>, end: i32, x: vec4<f32>) {
    let row = ((batch * params.heads + head) * params.query_time + u32(query)) * params.key_time;
    for (var k = 0u; k < 4u; k++) {
        if key[k] < end {
            d_pairs[row + u32(key[k])] = x[k];
        }
    }
}
