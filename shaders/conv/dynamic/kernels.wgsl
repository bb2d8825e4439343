// The gradient of a tap of a place's kernel: the products of what it reads and of the upstream gradient, over a head's channels.
fn element(i: u32) {
    let rest = i / params.taps;
    let tap = i - rest * params.taps;
    let place_of_all = rest / params.heads;
    let head = rest - place_of_all * params.heads;
    let item = place_of_all / params.time;
    let place = place_of_all - item * params.time;
    let read = read_by(item, place, tap);
    let first_read = (item * params.time + u32(max(read, 0))) * params.width + head * params.size;
    let first_given = place_of_all * params.width + head * params.size;
    var sum = Lanes();
    for (var channel = 0u; channel < params.size; channel++) {
        sum += load_x(first_read + channel) * load_upstream(first_given + channel);
    }
    store_result(i, select(0.0, lanes_sum(sum), read >= 0));
}
