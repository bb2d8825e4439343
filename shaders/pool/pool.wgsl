// result[row] = the positions of `row`, pooled along time; `width` is in packs. One invocation a pack.

struct Params {
    time: u32,
    width: u32,
    // Result rows of a batch item.
    segments: u32,
    count: u32,
    workgroups: u32,
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
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let row = i / params.width;
    let item = row / params.segments;
    let positions = positions_of(item, row % params.segments);
    var pooled = Lanes(0.0);
    if positions.x < positions.y {
        let first = (item * params.time + positions.x) * params.width + i % params.width;
        pooled = pool(first, positions.y - positions.x);
    }
    result[i] = Pack(pooled);
}
