// Sums along the rows of a chunk of what the gradients of weight and bias are sums of, one invocation for each chunk and pack of
// columns.

struct Params {
    rows: u32,
    // In packs.
    width: u32,
    chunk_rows: u32,
    // Of chunks and packs.
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> upstream: array<Pack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let chunk = i / params.width;
    let column = i - chunk * params.width;
    let first = chunk * params.chunk_rows;
    let last = first + min(params.rows - first, params.chunk_rows);
    var weight_sum = Lanes(0.0);
    var bias_sum = Lanes(0.0);
    for (var row = first; row < last; row++) {
        let at = row * params.width + column;
        let g = Lanes(upstream[at]);
        weight_sum += g * normalised(row, at);
        bias_sum += g;
    }
    keep_weight_sum(i, weight_sum);
    keep_bias_sum(i, bias_sum);
}
