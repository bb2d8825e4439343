// Eight lanes read four rows by eight k once, four k each, and pass them round. Needs subgroups of exactly eight.
const_assert WG_X == 8u;

fn a_pair(base: u32, row: u32, k: u32, lane: u32) -> Pair {
    let own = a_vec(base, row + lane % 4u, k + lane / 4u * 4u);
    return Pair(
        mat4x4<f32>(
            subgroupBroadcast(own, 0u),
            subgroupBroadcast(own, 1u),
            subgroupBroadcast(own, 2u),
            subgroupBroadcast(own, 3u),
        ),
        mat4x4<f32>(
            subgroupBroadcast(own, 4u),
            subgroupBroadcast(own, 5u),
            subgroupBroadcast(own, 6u),
            subgroupBroadcast(own, 7u),
        ),
    );
}
