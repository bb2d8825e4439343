// result = softmax(x) along rows of `width` packs, one workgroup per row.

struct Params {
    rows: u32,
    width: u32,
}

// Where exp is 0 for long.
const FAR_BELOW: f32 = -1e30;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read_write> result: array<Pack>;

var<workgroup> partial: array<f32, WORKGROUP>;

// exp(x - row_max). Halves, which are exact, because the difference itself may overflow, which WGSL leaves undefined.
fn weight(x: Lanes, row_max: f32) -> Lanes {
    return exp(2.0 * max(0.5 * x - 0.5 * row_max, Lanes(FAR_BELOW)));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = id.x + id.y * grid.x;
    if row >= params.rows {
        return;
    }
    let first = row * params.width;

    // A lane without elements repeats the last one.
    var lane_max = lanes_max(Lanes(x[first + min(lane, params.width - 1u)]));
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_max = max(lane_max, lanes_max(Lanes(x[first + i])));
    }
    partial[lane] = lane_max;
    workgroupBarrier();
    // Every invocation folds the few partial values in the same order: cheaper than a tree's barriers, and repeatable.
    var row_max = partial[0];
    for (var i = 1u; i < WORKGROUP; i++) {
        row_max = max(row_max, partial[i]);
    }
    workgroupBarrier();

    var lane_sum = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_sum += lanes_sum(weight(Lanes(x[first + i]), row_max));
    }
    partial[lane] = lane_sum;
    workgroupBarrier();
    var row_sum = partial[0];
    for (var i = 1u; i < WORKGROUP; i++) {
        row_sum += partial[i];
    }

    for (var i = lane; i < params.width; i += WORKGROUP) {
        result[first + i] = Pack(weight(Lanes(x[first + i]), row_max) / row_sum);
    }
}
