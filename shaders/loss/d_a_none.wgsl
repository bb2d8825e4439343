// The gradient of a is not wanted.
fn keep_a(i: u32, a: Lanes, b: Lanes, factor: f32) {}
