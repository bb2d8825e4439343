// result[batch][row] = sum of the rows whose items name it, in their order; of whole chunks that all name it, their sums. One invocation a
// row and pack.
fn element(i: u32) {
    let place = i / params.width;
    let column = i - place * params.width;
    let batch = place / params.result_rows;
    let offset = place + batch;
    let first = load_offsets(offset);
    let last = load_offsets(offset + 1u);
    let first_chunk = (first + CHUNK - 1u) / CHUNK;
    let last_chunk = last / CHUNK;
    if first_chunk >= last_chunk {
        store_result(i, sum_of(batch, first, last, column));
        return;
    }
    var sum = sum_of(batch, first, first_chunk * CHUNK, column);
    for (var chunk = first_chunk; chunk < last_chunk; chunk++) {
        sum += load_sums((batch * params.chunks + chunk) * params.width + column);
    }
    store_result(i, sum + sum_of(batch, last_chunk * CHUNK, last, column));
}
