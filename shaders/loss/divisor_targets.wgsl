// Negative classes are large ones here, which do not count.
@group(0) @binding(3) var<storage, read> targets: array<u32>;

// How many targets count; 1 for none of them, whose losses are 0.
fn divisor(lane: u32) -> f32 {
    var counted = 0u;
    for (var i = lane; i < params.targets; i += WORKGROUP) {
        counted += u32(targets[i] < params.classes);
    }
    return max(row_sum(1u, f32(counted), lane), 1.0);
}
