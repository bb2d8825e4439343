// sums[chunk] = sum of the upstream rows of CHUNK sorted tokens, where these are all of one row of the table: so that a row that
// most tokens share is not added up by one invocation after the other. One invocation a chunk and pack.

struct Params {
    // Whole chunks.
    chunks: u32,
    rows: u32,
    // In packs.
    width: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sorted: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> upstream: array<Pack>;
@group(0) @binding(3) var<storage, read_write> sums: array<Lanes>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    if group >= params.workgroups || i >= params.chunks * params.width {
        return;
    }
    let chunk = i / params.width;
    let column = i - chunk * params.width;
    let first = chunk * CHUNK;
    let row = sorted[first].x;
    if row >= params.rows || sorted[first + CHUNK - 1u].x != row {
        return;
    }
    var sum = Lanes(0.0);
    for (var j = 0u; j < CHUNK; j++) {
        sum += Lanes(upstream[sorted[first + j].y * params.width + column]);
    }
    sums[i] = sum;
}
