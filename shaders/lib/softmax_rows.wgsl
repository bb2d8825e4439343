// result = outcome(x, maximum, sum of weights) along rows of `width` packs, one workgroup per row, which it reads three times so
// that a row of any width needs no memory of its own.

struct Params {
    rows: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read_write> result: array<Pack>;

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
    let largest = row_max(0u, lane_max, lane);

    var lane_sum = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_sum += lanes_sum(weight(Lanes(x[first + i]), largest));
    }
    let sum = row_sum(1u, lane_sum, lane);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        result[first + i] = Pack(outcome(Lanes(x[first + i]), largest, sum));
    }
}
