// result[0] = sum of values / divisor, by one workgroup, each lane of which adds every WORKGROUP-th value.

struct Params {
    count: u32,
    divisor: f32,
    // Targets that count lie below `classes`.
    targets: u32,
    classes: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var lane_sum = 0.0;
    for (var i = lane; i < params.count; i += WORKGROUP) {
        lane_sum += values[i];
    }
    let sum = row_sum(0u, lane_sum, lane);
    let divided_by = divisor(lane);
    if lane == 0u {
        result[0] = sum / divided_by;
    }
}
