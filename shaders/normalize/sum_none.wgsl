fn keep_sum(i: u32, value: Lanes) {}
