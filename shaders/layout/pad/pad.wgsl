// Each line of the result is a line of x from `start` on, and zeros elsewhere. A pack is one element or a vector of four.

struct Params {
    // In packs.
    line: u32,
    x_line: u32,
    start: u32,
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
    // Before the start this wraps to beyond any line.
    let place = i % params.line - params.start;
    var pack = Pack();
    if place < params.x_line {
        pack = x[i / params.line * params.x_line + place];
    }
    result[i] = pack;
}
