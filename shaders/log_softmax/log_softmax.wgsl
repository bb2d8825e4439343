fn outcome(x: Lanes, largest: f32, sum: f32) -> Lanes {
    // WGSL allows log(1) to be off by as much as counts beside results of 0, as rows of one element have.
    return x - largest - select(log(sum), 0.0, sum == 1.0);
}
