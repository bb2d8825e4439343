// The gradient of b is not wanted.
fn keep_b(i: u32, a: Lanes, b: Lanes, factor: f32) {}
