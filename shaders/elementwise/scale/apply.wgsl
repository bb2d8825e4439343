fn apply(x: Lanes, factor: f32) -> Lanes {
    return x * factor;
}
