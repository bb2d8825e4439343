fn gate(first: Lanes, second: Lanes) -> Lanes {
    if ACTIVATES_FIRST {
        return activate(first) * second;
    }
    return first * activate(second);
}
