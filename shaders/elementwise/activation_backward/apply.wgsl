fn apply(x: Lanes, upstream: Lanes) -> Lanes {
    return upstream * slope(x);
}
