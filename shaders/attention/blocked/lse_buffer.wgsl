@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

fn store_lse(at: u32, x: f32) {
    lse[at] = x;
}
