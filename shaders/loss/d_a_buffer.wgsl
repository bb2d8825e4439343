@group(0) @binding(4) var<storage, read_write> d_a: array<Pack>;

fn keep_a(i: u32, a: Lanes, b: Lanes, factor: f32) {
    d_a[i] = Pack(slope_a(a, b) * factor);
}
