// result[chunk, pack] = sum of the chunk's terms of `pack`. One invocation a pack and chunk.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group >= params.workgroups || i >= params.results * params.chunks {
        return;
    }
    let first = first_of(i % params.results);
    let start = i / params.results * params.chunk;
    let terms = min(params.chunk, params.terms - start);
    var sum = Lanes(0.0);
    for (var j = 0u; j < terms; j++) {
        sum += Lanes(x[first + offset_of(start + j)]);
    }
    result[i] = Out(sum);
}
