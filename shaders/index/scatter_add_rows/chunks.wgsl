// sums[batch][chunk] = sum of the rows of CHUNK items, where these all name one row of the result: so that a row which most items name is not
// added up by one invocation after the other. One invocation a chunk and pack.
fn element(i: u32) {
    let place = i / params.width;
    let column = i - place * params.width;
    let batch = place / params.chunks;
    let first = (place - batch * params.chunks) * CHUNK;
    let first_item = batch * params.length + first;
    let row = target_of(first_item);
    if row < params.result_rows && target_of(first_item + CHUNK - 1u) == row {
        store_sums(i, sum_of(batch, first, first + CHUNK, column));
    }
}
