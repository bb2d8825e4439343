@group(0) @binding(5) var<storage, read_write> d_b: array<Pack>;

fn keep_b(i: u32, a: Lanes, b: Lanes, factor: f32) {
    d_b[i] = Pack(slope_b(a, b) * factor);
}
