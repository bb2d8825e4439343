fn apply(a: Lanes, b: Lanes) -> Lanes {
    return a - b;
}
