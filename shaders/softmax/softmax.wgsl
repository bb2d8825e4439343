// Softmax or its logarithm along rows of `width` packs, each read three times, for maximum, sum and result, so that a row of any width
// needs no memory of its own.
fn row(row: u32, lane: u32) {
    let first = row * params.width;

    // A lane without elements repeats the last pack.
    var lane_max = lanes_max(load_x(first + min(lane, params.width - 1u)));
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_max = max(lane_max, lanes_max(load_x(first + i)));
    }
    let largest = row_max(0u, lane_max, lane);

    var lane_sum = 0.0;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_sum += lanes_sum(weight(load_x(first + i), largest));
    }
    let sum = row_sum(1u, lane_sum, lane);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        store_result(first + i, outcome(load_x(first + i), largest, sum));
    }
}

fn outcome(x: Lanes, largest: f32, sum: f32) -> Lanes {
    if LOGARITHM {
        // WGSL allows log(1) to be off by as much as counts beside results of 0, as rows of one element have.
        return x - largest - select(log(sum), 0.0, sum == 1.0);
    }
    return weight(x, largest) / sum;
}
