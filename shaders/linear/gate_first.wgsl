fn gate(first: Lanes, second: Lanes) -> Lanes {
    return activate(first) * second;
}
