// Sparsemax or, SQUARED, 1.5-entmax along rows of `width` packs, which are read once for the maximum, once for each step of Newton's method
// and once for the result.
fn row(row: u32, lane: u32) {
    let first = row * params.width;

    // A lane without elements repeats the last pack.
    var lane_max = lanes_max(load_x(first + min(lane, params.width - 1u)));
    for (var i = lane; i < params.width; i += WORKGROUP) {
        lane_max = max(lane_max, lanes_max(load_x(first + i)));
    }
    let largest = row_max(0u, lane_max, lane);

    // Every lane finds the same, and none leaves the loop before another, as there are barriers in it.
    var threshold = -1.0;
    var is_found = false;
    for (var step = 0u; step < params.steps; step++) {
        var results = Lanes(0.0);
        var slopes = Lanes(0.0);
        if !is_found {
            for (var i = lane; i < params.width; i += WORKGROUP) {
                let above = above_threshold(load_x(first + i), largest, threshold);
                results += power(above);
                slopes += select(Lanes(0.0), slope(above), above > Lanes(0.0));
            }
        }
        let excess = row_sum(1u, lanes_sum(results), lane) - 1.0;
        let slope = row_sum(0u, lanes_sum(slopes), lane);
        if !is_found {
            let next = threshold + excess / slope;
            is_found = next <= threshold;
            threshold = next;
        }
    }

    for (var i = lane; i < params.width; i += WORKGROUP) {
        store_result(first + i, power(above_threshold(load_x(first + i), largest, threshold)));
    }
}

fn above_threshold(x: Lanes, largest: f32, threshold: f32) -> Lanes {
    let distance = x - largest;
    if SQUARED {
        return max(distance * 0.5 - threshold, Lanes(0.0));
    }
    return max(distance - threshold, Lanes(0.0));
}

fn power(above: Lanes) -> Lanes {
    if SQUARED {
        return above * above;
    }
    return above;
}

// Minus the slope of `power` along the threshold, where `above` is more than 0.
fn slope(above: Lanes) -> Lanes {
    if SQUARED {
        return above + above;
    }
    return Lanes(1.0);
}
