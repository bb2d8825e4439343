// dx[position] = the share that it has in the upstream gradient of its own row; one invocation a pack.

struct Params {
    time: u32,
    // In packs.
    width: u32,
    // Upstream rows of a batch item.
    segments: u32,
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> upstream: array<Pack>;
@group(0) @binding(2) var<storage, read_write> dx: array<Pack>;

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
    let position = i / params.width;
    let column = i - position * params.width;
    let item = position / params.time;
    let t = position - item * params.time;
    let segment = segment_of(position);
    var d = Lanes(0.0);
    if segment < params.segments {
        let row = item * params.segments + segment;
        let at = row * params.width + column;
        d = share(Lanes(upstream[at]), at, row, item, t);
    }
    dx[i] = Pack(d);
}
