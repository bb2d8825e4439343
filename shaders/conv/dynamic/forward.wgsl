// A pack of channels of a place: the sum of what the taps read, weighted by the kernel of the place, or of the place that is read.
fn element(i: u32) {
    let place_of_all = i / params.width;
    let channel = i - place_of_all * params.width;
    let item = place_of_all / params.time;
    let place = place_of_all - item * params.time;
    let head = channel / params.size;
    var sum = Lanes();
    for (var tap = 0u; tap < params.taps; tap++) {
        let read = read_by(item, place, tap);
        let row = item * params.time + u32(max(read, 0));
        let of_kernel = select(place_of_all, row, AT_READ);
        let weight = load_kernels((of_kernel * params.heads + head) * params.taps + tap);
        sum += weight * select(Lanes(), load_x(row * params.width + channel), read >= 0);
    }
    store_result(i, sum);
}
