// written[batch][at[batch] + j] = rows[batch][j], where it has such a row. One invocation a pack.
fn element(i: u32) {
    let row = i / params.width;
    let batch = row / params.rows_of_batch;
    let place = load_at(batch) + i32(row - batch * params.rows_of_batch);
    // A negative place, as u32, lies behind every row.
    if u32(place) < params.capacity {
        let first = (batch * params.capacity + u32(place)) * params.width;
        store_written(first + i - row * params.width, load_rows(i));
    }
}
