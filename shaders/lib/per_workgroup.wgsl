// The entry point of kernels whose workgroups each compute a part of the result, in `workgroup_main`. Workgroups are folded over two axes, so the
// grid may hold some without work.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = id.x + id.y * grid.x;
    if number < params.workgroups {
        workgroup_main(number, lane);
    }
}
