// runs[row] = the positions of `row`, so that they are searched for once and not by every position.

struct Params {
    time: u32,
    // Rows of a batch item.
    segments: u32,
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> runs: array<vec2<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let row = group * WORKGROUP + lane;
    if group >= params.workgroups || row >= params.count {
        return;
    }
    runs[row] = positions_of(row / params.segments, row % params.segments);
}
