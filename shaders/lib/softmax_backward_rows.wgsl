// result = outcome(y, upstream, sum of summands) along rows of `width` packs, one workgroup per row, which it reads twice so that a
// row of any width needs no memory of its own.

struct Params {
    rows: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<Pack>;
@group(0) @binding(2) var<storage, read> upstream: array<Pack>;
@group(0) @binding(3) var<storage, read_write> result: array<Pack>;

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

    var lane_sum = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_sum += summand(Lanes(y[first + i]), Lanes(upstream[first + i]));
    }
    let sum = row_sum(0u, lanes_sum(lane_sum), lane);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        result[first + i] = Pack(outcome(Lanes(y[first + i]), Lanes(upstream[first + i]), sum));
    }
}
