fn summand(y: Lanes, upstream: Lanes) -> Lanes {
    return y * upstream;
}

fn outcome(y: Lanes, upstream: Lanes, sum: f32) -> Lanes {
    return y * (upstream - sum);
}
