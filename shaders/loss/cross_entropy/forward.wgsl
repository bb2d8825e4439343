// row_losses[row] = -ln softmax(logits[row])[label] along rows of `width` packs, each read once: a lane carries the sum of weights below
// its own largest logit along, scaled anew where a larger one turns up.
fn row(row: u32, lane: u32) {
    let first = row * params.width;
    // Negative classes are large ones here, beyond every row.
    let target_class = load_targets(row);
    let counts = target_class < params.classes;
    let label = select(0u, target_class, counts);
    // Of a masked language model most rows do not count: they are not read.
    let width = select(0u, params.width, counts);
    let origin = lane_of(load_logits(first), 0u);

    var lane_max = origin;
    var lane_sum = 0.0;
    var deviations = Lanes(0.0);
    for (var i = lane; i < width; i += WORKGROUP) {
        let x = load_logits(first + i);
        let pack_max = lanes_max(x);
        if pack_max > lane_max {
            lane_sum *= scalar_weight(lane_max, pack_max);
            lane_max = pack_max;
        }
        lane_sum += lanes_sum(weight(x, lane_max));
        deviations += x - origin;
    }
    let largest = row_max(0u, lane_max, lane);
    let sum = row_sum(1u, lane_sum * scalar_weight(lane_max, largest), lane);
    // WGSL allows log(1) to be off by as much as counts beside losses of 0, as rows of one class have.
    let log_sum = select(log(sum), 0.0, sum == 1.0);

    var loss = log_sum + (largest - lane_of(load_logits(first + label / LANES), label % LANES));
    if SMOOTHS {
        let mean = row_sum(0u, lanes_sum(deviations), lane) / f32(params.classes);
        let spread = log_sum + ((largest - origin) - mean);
        loss = (1.0 - params.smoothing) * loss + params.smoothing * spread;
    }
    if lane == 0u {
        store_row_losses(row, select(0.0, loss, counts));
        store_lse(row, select(0.0, largest + log_sum, counts));
    }
}

fn scalar_weight(x: f32, largest: f32) -> f32 {
    return lane_of(weight(Lanes(x), largest), 0u);
}
