// result = x, element by element along the same axes, each side with strides of its own: transposes, slices, concatenations.
// Elements are not interpreted, so a pack is any element of its size, or a vector of four.

struct Params {
    // In packs, innermost axis first.
    extents: array<vec4<u32>, 2>,
    x_strides: array<vec4<u32>, 2>,
    result_strides: array<vec4<u32>, 2>,
    x_start: u32,
    result_start: u32,
    // All but the outermost.
    inner_axes: u32,
    count: u32,
    workgroups: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Pack>;
@group(0) @binding(2) var<storage, read_write> result: array<Pack>;

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
    var x_index = params.x_start;
    var result_index = params.result_start;
    for (var axis = 0u; axis < params.inner_axes; axis++) {
        let extent = params.extents[axis / 4u][axis % 4u];
        let position = rest % extent;
        rest /= extent;
        x_index += position * params.x_strides[axis / 4u][axis % 4u];
        result_index += position * params.result_strides[axis / 4u][axis % 4u];
    }
    let outermost = params.inner_axes;
    x_index += rest * params.x_strides[outermost / 4u][outermost % 4u];
    result_index += rest * params.result_strides[outermost / 4u][outermost % 4u];
    result[result_index] = x[x_index];
}
