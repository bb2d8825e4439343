fn apply(x: Lanes, unused: f32) -> Lanes {
    return x;
}
