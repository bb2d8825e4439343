// A dense mask, `pairs: [rows, columns]`, as bits: whole words for each of its rows, of which one element is one.
fn element(i: u32) {
    let first = i % params.words * 32u;
    let row = i / params.words * params.columns;
    var word = 0u;
    for (var bit = 0u; bit < min(32u, params.columns - first); bit++) {
        word |= u32(load_pairs(row + first + bit) != 0) << bit;
    }
    store_aux_buffer(params.start + i, word);
}
