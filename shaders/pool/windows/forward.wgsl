// A pack of channels of a window: the mean or the largest of its positions.
fn element(i: u32) {
    let window_of_all = i / params.width;
    let channel = i - window_of_all * params.width;
    let item = window_of_all / params.windows;
    let first = (window_of_all - item * params.windows) * params.stride;
    let last = min(first + params.size, params.time);
    let base = item * params.time;
    var pooled = load_x((base + first) * params.width + channel);
    for (var t = first + 1u; t < last; t++) {
        let x = load_x((base + t) * params.width + channel);
        pooled = select(pooled + x, max(pooled, x), IS_MAX);
    }
    if !IS_MAX {
        pooled /= f32(last - first);
    }
    store_result(i, pooled);
}
