// d_a = slope_a(a, b) * upstream / divisor, and the same for b, as far as they are wanted.

struct Params {
    // In packs.
    count: u32,
    workgroups: u32,
    divisor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Pack>;
@group(0) @binding(2) var<storage, read> b: array<Pack>;
@group(0) @binding(3) var<storage, read> upstream: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group >= params.workgroups || i >= params.count {
        return;
    }
    let factor = upstream[0] / params.divisor;
    keep_a(i, Lanes(a[i]), Lanes(b[i]), factor);
    keep_b(i, Lanes(a[i]), Lanes(b[i]), factor);
}
