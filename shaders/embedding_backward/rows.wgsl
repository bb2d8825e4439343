// d_table[row] = sum of the upstream rows of the row's tokens, in their order; of whole chunks that are all its own, their sums.
// One invocation a row and pack.

struct Params {
    rows: u32,
    // In packs.
    width: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sorted: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> upstream: array<Pack>;
@group(0) @binding(4) var<storage, read> sums: array<Lanes>;
@group(0) @binding(5) var<storage, read_write> d_table: array<Pack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    if group >= params.workgroups || i >= params.rows * params.width {
        return;
    }
    let row = i / params.width;
    let column = i - row * params.width;
    let first = starts[row];
    let last = starts[row + 1u];
    let first_chunk = (first + CHUNK - 1u) / CHUNK;
    let last_chunk = last / CHUNK;
    if first_chunk >= last_chunk {
        d_table[i] = Pack(sum_of(first, last, column));
        return;
    }
    var sum = sum_of(first, first_chunk * CHUNK, column);
    for (var chunk = first_chunk; chunk < last_chunk; chunk++) {
        sum += sums[chunk * params.width + column];
    }
    d_table[i] = Pack(sum + sum_of(last_chunk * CHUNK, last, column));
}

fn sum_of(first: u32, last: u32, column: u32) -> Lanes {
    var sum = Lanes(0.0);
    for (var j = first; j < last; j++) {
        sum += Lanes(upstream[sorted[j].y * params.width + column]);
    }
    return sum;
}
