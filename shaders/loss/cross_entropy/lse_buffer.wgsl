@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

fn keep_lse(row: u32, value: f32) {
    lse[row] = value;
}
