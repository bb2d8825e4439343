// The same where the whole workgroup is one subgroup. A software rasterizer turns every workgroup barrier into a
// coroutine switch, and what lives across it, loop counters of the loads included, moves from registers to memory.
fn exchange() {
    subgroupBarrier();
}
