// places[i] = sum of all places before i, by one workgroup, each lane of which walks over a stretch of its own twice.
@group(0) @binding(1) var<storage, read_write> places: array<u32>;

var<workgroup> stretches: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    let length = (DIGITS * params.chunks + WORKGROUP - 1u) / WORKGROUP;
    let first = min(lane * length, DIGITS * params.chunks);
    let last = min(first + length, DIGITS * params.chunks);
    var sum = 0u;
    for (var i = first; i < last; i++) {
        sum += places[i];
    }
    stretches[lane] = sum;
    workgroupBarrier();
    var before = 0u;
    for (var i = 0u; i < lane; i++) {
        before += stretches[i];
    }
    for (var i = first; i < last; i++) {
        let here = places[i];
        places[i] = before;
        before += here;
    }
}
