// Only the statistics are wanted.
fn keep_dx(i: u32, value: Lanes) {}
