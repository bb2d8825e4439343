// For each batch item and each position, whether a list has it (in the lowest bit), and how many positions of the list lie before it.
// Numbers that are no position count nowhere.
struct Params {
    start: u32,
    time: u32,
    listed: u32,
    count: u32,  // batch * time
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<i32>;  // [batch, listed]

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
    let own = i32(id % params.time);
    let list = id / params.time * params.listed;
    var before = 0u;
    var has = false;
    for (var i = 0u; i < params.listed; i++) {
        let position = positions[list + i];
        before += u32(position >= 0 && position < own);
        has = has || position == own;
    }
    aux_buffer[params.start + id] = before * 2u + u32(has);
}
