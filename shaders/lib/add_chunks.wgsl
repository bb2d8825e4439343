// result[column] = sum of partials[chunk][column] over the chunks, in their order. One invocation a pack of columns.

struct Params {
    // Columns in packs.
    width: u32,
    chunks: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<Lanes>;
@group(0) @binding(2) var<storage, read_write> result: array<Pack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let column = group * WORKGROUP + lane;
    if group >= params.workgroups || column >= params.width {
        return;
    }
    var sum = Lanes(0.0);
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
        sum += partials[chunk * params.width + column];
    }
    result[column] = Pack(sum);
}
