fn gate(first: Lanes, second: Lanes) -> Lanes {
    return first * apply(second, 0.0);
}
