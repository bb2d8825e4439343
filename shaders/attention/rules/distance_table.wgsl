// What a table of slots gives each head at each distance: aux_buffer[head, distance] = table[slots[distance], head].
struct Params {
    start: u32,
    heads: u32,
    distances: u32,
    count: u32,  // heads * distances
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;  // [slots, heads]
@group(0) @binding(2) var<storage, read> slots: array<i32>;  // [distances]

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
    let slot = u32(slots[id % params.distances]);
    // Slots are the crate's own, but whoever replays a step may put others into their place.
    let at = min(slot * params.heads + id / params.distances, arrayLength(&table) - 1u);
    aux_buffer[params.start + id] = bitcast<u32>(table[at]);
}
