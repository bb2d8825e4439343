// sums[chunk][column] = sum of the chunk, from where the walk entered its last segment there; entered: whether it did.
fn element(i: u32) {
    let chunk = i / params.columns;
    let column = i - chunk * params.columns;
    let base = base_of(column);
    let first = chunk * params.chunk;
    let last = min(first + params.chunk, params.length);
    var sum = Sum();
    var entered = 0u;
    for (var step = first; step < last; step++) {
        if enters(step, column) {
            sum = Sum();
            entered = 1u;
        }
        sum += load_x(base + place_of(step) * params.inner);
    }
    store_sums(i, sum);
    store_entered(i, entered);
}
