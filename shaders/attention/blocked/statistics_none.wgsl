// Maximum and sum of the rows are not wanted.
fn store_statistics(at: u32, largest: f32, sum: f32) {}
