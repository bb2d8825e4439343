// Adds up what the splits of a pass have summed.
fn element(i: u32) {
    var sum = Lanes();
    for (var split = 0u; split < params.splits; split++) {
        sum += load_partial(split * params.count + i);
    }
    store_result(i, sum);
}
