// Copies a tensor into the auxiliary buffer, an element a word.
struct Params {
    start: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tensor: array<Element>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = (group.x + group.y * groups.x) * LANES + lane;
    if id < params.count {
        aux_buffer[params.start + id] = word_of(tensor[id]);
    }
}
