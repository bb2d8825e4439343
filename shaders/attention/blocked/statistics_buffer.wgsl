@group(0) @binding(5) var<storage, read_write> statistics: array<vec2<f32>>;  // maximum and sum of each row

fn store_statistics(at: u32, largest: f32, sum: f32) {
    statistics[at] = vec2(largest, sum);
}
