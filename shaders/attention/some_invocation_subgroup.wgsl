// The same where the workgroup is one subgroup. A software rasterizer turns a workgroup barrier into a coroutine switch
// (exchange_subgroup.wgsl): in the loop around a walk, one is enough to move all that the walk keeps from registers to memory.
fn some_invocation(says_so: bool, invocation: u32) -> bool {
    return subgroupAny(says_so);
}
