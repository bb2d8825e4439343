fn outcome(x: Lanes, largest: f32, sum: f32) -> Lanes {
    return weight(x, largest) / sum;
}
