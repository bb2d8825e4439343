// The entry point of kernels whose invocations each compute one element or pack, in `element`. Workgroups are folded over two axes, so
// the grid may hold some without work, whose numbers would not even fit 32 bits.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * grid.x;
    let i = group * WORKGROUP + lane;
    if group < params.workgroups && i < params.count {
        element(i);
    }
}
