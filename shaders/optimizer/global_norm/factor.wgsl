// The norm of all gradients, from partial sums of their squares, and what to multiply them with.
struct Params {
    partials: u32,
    max_norm: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;
@group(0) @binding(4) var<storage, read_write> factor: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP>;

// By its bits: WGSL lets comparisons assume that infinities and NaNs do not occur.
fn overflowed(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if id.x + id.y * grid.x > 0u {
        return;
    }
    var sum = 0.0;
    for (var i = lane; i < params.partials; i += WORKGROUP) {
        sum += partials[i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    if lane > 0u {
        return;
    }
    var squares = 0.0;
    for (var i = 0u; i < WORKGROUP; i++) {
        squares += sums[i];
    }
    if overflowed(squares) {
        norm[0] = -1.0;
        factor[0] = 0.0;
        return;
    }
    let length = sqrt(squares) / scale[0];
    norm[0] = length;
    var clip = 1.0;
    if CLIPS {
        clip = min(1.0, params.max_norm / (length + params.epsilon));
    }
    factor[0] = clip / scale[0];
}
