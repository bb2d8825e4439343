// result = the sum of the walk's segment up to each element, with it or, where EXCLUSIVE, without.
fn element(i: u32) {
    let chunk = i / params.columns;
    let column = i - chunk * params.columns;
    let base = base_of(column);
    let first = chunk * params.chunk;
    let last = min(first + params.chunk, params.length);
    var sum = load_carries(i);
    for (var step = first; step < last; step++) {
        if enters(step, column) {
            sum = Sum();
        }
        let at = base + place_of(step) * params.inner;
        let x = load_x(at);
        if EXCLUSIVE {
            store_result(at, sum);
        }
        sum += x;
        if !EXCLUSIVE {
            store_result(at, sum);
        }
    }
}
