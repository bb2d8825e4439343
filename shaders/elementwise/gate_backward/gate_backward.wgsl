// dz of y = f(activated) * other, where a row of z is both factors one behind the other. One invocation a pack of upstream, for
// both factors. A pack is one element or a vector of four; `Lanes` is the same in f32.

struct Params {
    width: u32, // packs of a factor
    activated: u32, // where it starts in a row of z: at 0 or width
    other: u32,
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<Pack>;
@group(0) @binding(2) var<storage, read> upstream: array<Pack>;
@group(0) @binding(3) var<storage, read_write> dz: array<Pack>;

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
    let first = i / params.width * params.width + i; // 2 * width packs a row
    let activated = Lanes(z[first + params.activated]);
    let other = Lanes(z[first + params.other]);
    let dy = Lanes(upstream[i]);
    dz[first + params.activated] = Pack(dy * other * slope(activated));
    dz[first + params.other] = Pack(dy * apply(activated, 0.0));
}
