// Rows of scratch memory as a tensor.
fn element(i: u32) {
    put_result(i / PACKS, i % PACKS, source_row(i / PACKS, i % PACKS));
}
