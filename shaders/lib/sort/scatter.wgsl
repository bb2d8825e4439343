// sorted[places[digit][chunk]..] = the chunk's items with the digit, in their order.
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<vec2<u32>>;

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
    var next = array<u32, DIGITS>();
    for (var digit = 0u; digit < DIGITS; digit++) {
        next[digit] = places[digit * params.chunks + chunk];
    }
    let first = chunk * CHUNK;
    let last = first + min(params.count - first, CHUNK);
    for (var i = first; i < last; i++) {
        let here = item(i);
        let digit = digit_of(here.x);
        sorted[next[digit]] = here;
        next[digit] += 1u;
    }
}
