// Sparsemax or, SQUARED, 1.5-entmax along rows of `width` packs, which are read once for the maximum, once for each step of Newton's method
// and once for the result. A row with NaN or infinity, or of minus infinity alone, is NaN, as softmax has it; numbers that are not finite are
// told by their bits: WGSL lets a compiler assume that there are none.
const INFINITY: u32 = 0x7f800000u;
const MINUS_INFINITY: u32 = 0xff800000u;
const NOT_A_NUMBER: u32 = 0xffffffffu;

fn row(row: u32, lane: u32) {
    let first = row * params.width;

    // A lane without elements repeats the last pack.
    var lane_max = lanes_max(load_x(first + min(lane, params.width - 1u)));
    var lane_kind = LEAST;
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let x = load_x(first + i);
        lane_max = max(lane_max, lanes_max(x));
        lane_kind = max(lane_kind, lanes_max(kind(x)));
    }
    let largest = row_max(0u, lane_max, lane);
    let has_result = row_max(1u, lane_kind, lane) == NUMBER;

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
        let excess = row_sum(0u, lanes_sum(results), lane) - 1.0;
        let slope = row_sum(1u, lanes_sum(slopes), lane);
        if !is_found {
            let next = threshold + excess / slope;
            is_found = next <= threshold;
            threshold = next;
        }
    }

    let not_a_number = Lanes(bitcast<f32>(bitcast<u32>(largest) | NOT_A_NUMBER));
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let result = power(above_threshold(load_x(first + i), largest, threshold));
        store_result(first + i, select(not_a_number, result, has_result));
    }
}

// What an element lets its row be: the largest of a row decides.
const LEAST: f32 = 0.0;   // minus infinity
const NUMBER: f32 = 1.0;
const BROKEN: f32 = 2.0;  // NaN or infinity

fn kind(x: Lanes) -> Lanes {
    let bits = bitcast<Bits>(x);
    let of_others = select(Lanes(BROKEN), Lanes(LEAST), bits == Bits(MINUS_INFINITY));
    return select(Lanes(NUMBER), of_others, (bits & Bits(INFINITY)) == Bits(INFINITY));
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
