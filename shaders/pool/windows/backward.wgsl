// A pack of channels of a position: what it has in the upstream gradients of its windows. Of the largest all where no other position is as large
// before it and none is larger.
fn element(i: u32) {
    let place = i / params.width;
    let channel = i - place * params.width;
    let item = place / params.time;
    let t = place - item * params.time;
    let before = max(t + 1u, params.size) - params.size;
    let last_window = min(t / params.stride + 1u, params.windows);
    var sum = Lanes();
    for (var window = (before + params.stride - 1u) / params.stride; window < last_window; window++) {
        let first = window * params.stride;
        let end = min(first + params.size, params.time);
        let dy = load_upstream((item * params.windows + window) * params.width + channel);
        if t >= end {
            continue;
        }
        if IS_MAX {
            let own = load_x(i);
            var is_largest = Lanes(1.0);
            for (var other = first; other < end; other++) {
                let x = load_x((item * params.time + other) * params.width + channel);
                if other < t {
                    is_largest = select(is_largest, Lanes(), x >= own);
                } else {
                    is_largest = select(is_largest, Lanes(), x > own);
                }
            }
            sum += dy * is_largest;
        } else {
            sum += dy / f32(end - first);
        }
    }
    store_dx(i, sum);
}
