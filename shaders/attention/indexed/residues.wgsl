// Which position each slot of an order holds: runs of slots with positions `step` apart, each run `by_run` behind the one before.
fn element(i: u32) {
    let position = i / params.run * params.by_run + i % params.run * params.step + params.start;
    store_entry(params.first + i, select(-1, i32(position), position < params.time));
}
