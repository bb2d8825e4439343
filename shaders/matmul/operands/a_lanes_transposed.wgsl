// Eight lanes read four rows by eight k once, one k each, and pass them round. Needs subgroups of exactly eight.
const_assert WG_X == 8u;

fn a_pair(base: u32, row: u32, k: u32, lane: u32) -> Pair {
    let own = a_column(base, row, k + lane);
    return Pair(
        transpose(mat4x4<f32>(
            subgroupBroadcast(own, 0u),
            subgroupBroadcast(own, 1u),
            subgroupBroadcast(own, 2u),
            subgroupBroadcast(own, 3u),
        )),
        transpose(mat4x4<f32>(
            subgroupBroadcast(own, 4u),
            subgroupBroadcast(own, 5u),
            subgroupBroadcast(own, 6u),
            subgroupBroadcast(own, 7u),
        )),
    );
}
