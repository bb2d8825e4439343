fn gate(first: Lanes, second: Lanes) -> Lanes {
    return apply(first, 0.0) * second;
}
