@group(0) @binding(5) var<storage, read_write> bias_sums: array<Lanes>;

fn keep_bias_sum(i: u32, sum: Lanes) {
    bias_sums[i] = sum;
}
