@group(0) @binding(2) var<storage, read> x: array<Pack>;
// Where a row's deviations are taken from, in two steps, and their factor.
@group(0) @binding(3) var<storage, read> statistics: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> weight_sums: array<Lanes>;

fn normalised(row: u32, at: u32) -> Lanes {
    let of_row = statistics[row];
    return ((Lanes(x[at]) - of_row.x) - of_row.y) * of_row.z;
}

fn keep_weight_sum(i: u32, sum: Lanes) {
    weight_sums[i] = sum;
}
