// result[i] = x[i] * scale where the element is kept, else 0; by one random number an element, four of each counter. A pack is one
// element or a vector of four; `Lanes` is the same in f32.

struct Params {
    count: u32, // packs
    workgroups: u32,
    key_low: u32,
    key_high: u32,
    stream: u32,
    threshold: u32, // numbers from here on keep
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<Pack>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    // The grid may hold groups without work, whose elements would not even fit 32 bits.
    if group < params.workgroups && i < params.count {
        result[i] = Pack(kept(Lanes(x[i]) * params.scale, i));
    }
}

fn numbers(counter: u32) -> vec4<u32> {
    return philox(vec4(counter, step[0], params.stream, 0u), vec2(params.key_low, params.key_high));
}
