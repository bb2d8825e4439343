// result[batch][j] = x[batch][at[batch] + j], or 0 where x has no such row. One invocation a pack.
fn element(i: u32) {
    let row = i / params.width;
    let batch = row / params.rows_of_batch;
    let place = load_at(batch) + i32(row - batch * params.rows_of_batch);
    var value = Element();
    // A negative place, as u32, lies behind every row.
    if u32(place) < params.capacity {
        let first = (batch * params.capacity + u32(place)) * params.width;
        value = load_x(first + i - row * params.width);
    }
    store_result(i, value);
}
