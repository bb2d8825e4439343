// runs[row] = the positions of `row`, so that they are searched for once and not by every position.
fn element(row: u32) {
    let run = positions_of(row / params.segments, row % params.segments, params.time);
    store_runs(2u * row, run.x);
    store_runs(2u * row + 1u, run.y);
}
