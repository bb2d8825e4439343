// Where exp is 0 for long; keeps drivers that scale the argument within f32.
const FAR_BELOW: f32 = -1e3;

fn summand(y: Lanes, upstream: Lanes) -> Lanes {
    return upstream;
}

fn outcome(y: Lanes, upstream: Lanes, sum: f32) -> Lanes {
    // WGSL allows exp(0) to be off by as much as counts beside results of 0, as rows of one element have.
    let weight = select(exp(max(y, Lanes(FAR_BELOW))), Lanes(1.0), y == Lanes(0.0));
    return upstream - weight * sum;
}
