// places[digit][chunk] = how many items of the chunk have the digit.
@group(0) @binding(2) var<storage, read_write> places: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let chunk = group * WORKGROUP + lane;
    if group >= params.workgroups || chunk >= params.chunks {
        return;
    }
    let first = chunk * CHUNK;
    let last = first + min(params.count - first, CHUNK);
    var counts = array<u32, DIGITS>();
    for (var i = first; i < last; i++) {
        counts[digit_of(item(i).x)] += 1u;
    }
    for (var digit = 0u; digit < DIGITS; digit++) {
        places[digit * params.chunks + chunk] = counts[digit];
    }
}
