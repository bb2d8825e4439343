// The same on software rasterizers whose subgroup is the whole workgroup: they run its lanes in lockstep, so order within the
// subgroup is all that is needed. A workgroup barrier is a coroutine switch there, and what lives across it, loop counters of
// the loads included, moves from registers to memory. Formally SPIR-V's subgroup barrier, as naga writes it, does not order
// workgroup memory, so nothing but such an adapter may be given this file.
fn exchange() {
    subgroupBarrier();
}
