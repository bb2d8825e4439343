fn gate(first: Lanes, second: Lanes) -> Lanes {
    return first * activate(second);
}
