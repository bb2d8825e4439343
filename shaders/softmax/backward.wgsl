// The gradient of softmax or its logarithm from its result y, along rows of `width` packs, each read twice: for the sum and the result.
fn row(row: u32, lane: u32) {
    let first = row * params.width;

    var terms = Lanes(0.0);
    for (var i = lane; i < params.width; i += WORKGROUP) {
        let upstream = load_upstream(first + i);
        if LOGARITHM {
            terms += upstream;
        } else {
            terms += load_y(first + i) * upstream;
        }
    }
    let sum = row_sum(0u, lanes_sum(terms), lane);

    for (var i = lane; i < params.width; i += WORKGROUP) {
        let y = load_y(first + i);
        let upstream = load_upstream(first + i);
        if LOGARITHM {
            store_dx(first + i, upstream - probability(y) * sum);
        } else {
            store_dx(first + i, y * (upstream - sum));
        }
    }
}

// Where exp is 0 for long; keeps drivers that scale the argument within f32.
const FAR_BELOW: f32 = -1e3;

fn probability(logarithm: Lanes) -> Lanes {
    // WGSL allows exp(0) to be off by as much as counts beside results of 0, as rows of one element have.
    return select(exp(max(logarithm, Lanes(FAR_BELOW))), Lanes(1.0), logarithm == Lanes(0.0));
}
