// A dense mask as bits, a row of whole words for each row of the mask.
struct Params {
    start: u32,
    columns: u32,
    words: u32,  // of a row
    count: u32,  // words in all
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pairs: array<i32>;  // [rows, columns]

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.x + group.y * groups.x) * LANES + lane;
    if id >= params.count {
        return;
    }
    let first = id % params.words * 32u;
    let row = id / params.words * params.columns;
    var word = 0u;
    for (var bit = 0u; bit < min(32u, params.columns - first); bit++) {
        word |= u32(pairs[row + first + bit] != 0) << bit;
    }
    aux_buffer[params.start + id] = word;
}
