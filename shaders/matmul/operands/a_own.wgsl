// Every invocation reads A for itself: right everywhere, and cheap where the driver sees that the address is uniform.
fn a_pair(base: u32, row: u32, k: u32, lane: u32) -> Pair {
    return Pair(a_block(base, row, k), a_block(base, row, k + 4u));
}
