// result[row, chunk] = sum of the chunk's terms, which are packs, of `row`. One workgroup a row and chunk.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    if group >= params.workgroups {
        return;
    }
    let first = first_of(group / params.chunks);
    let start = group % params.chunks * params.chunk;
    let terms = min(params.chunk, params.terms - start);
    var lane_sum = Lanes(0.0);
    for (var j = lane; j < terms; j += WORKGROUP) {
        lane_sum += Lanes(x[first + offset_of(start + j)]);
    }
    let sum = row_sum(0u, lanes_sum(lane_sum), lane);
    if lane == 0u {
        result[group] = Out(sum);
    }
}
