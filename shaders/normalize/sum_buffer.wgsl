@group(0) @binding(6) var<storage, read_write> sum: array<Pack>;

fn keep_sum(i: u32, value: Lanes) {
    sum[i] = Pack(value);
}
