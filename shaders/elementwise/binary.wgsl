// result = apply(a, b) over broadcast operands. A pack is one element or a vector of four; `Lanes` is the same in f32.

struct Params {
    // In packs, innermost axis first; a stride of 0 repeats the operand.
    extents: array<vec4<u32>, 2>,
    a_strides: array<vec4<u32>, 2>,
    b_strides: array<vec4<u32>, 2>,
    count: u32,
    workgroups: u32,
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Pack>;
@group(0) @binding(2) var<storage, read> b: array<Pack>;
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
    if group >= params.workgroups || i >= params.count {
        return;
    }
    var rest = i;
    var a_index = 0u;
    var b_index = 0u;
    for (var axis = 0u; axis < params.rank; axis++) {
        let extent = params.extents[axis / 4u][axis % 4u];
        let position = rest % extent;
        rest /= extent;
        a_index += position * params.a_strides[axis / 4u][axis % 4u];
        b_index += position * params.b_strides[axis / 4u][axis % 4u];
    }
    result[i] = Pack(apply(Lanes(a[a_index]), Lanes(b[b_index])));
}
