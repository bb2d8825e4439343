// partials[chunk][tap][channel] = sum over the places of a chunk of what the tap reads times the upstream gradient, one invocation each.
fn element(i: u32) {
    let channel = i % params.weight_width;
    let rest = i / params.weight_width;
    let tap = rest % params.taps;
    let first = rest / params.taps * params.chunk;
    let last = min(first + params.chunk, params.all);
    let wide = channel;
    let narrow = channel / MULTIPLIER;
    let of_x = select(narrow, wide, GATHERS);
    let of_result = select(wide, narrow, GATHERS);
    var sum = Lanes();
    for (var place = first; place < last; place++) {
        let item = place / params.places;
        let read = read_by(item, place - item * params.places, tap);
        let row = item * params.read_places + u32(max(read, 0));
        let x = select(Lanes(), load_x(row * params.read_width + of_x), read >= 0);
        sum += x * load_upstream(place * params.width + of_result);
    }
    store_partials(i, sum);
}
