fn term(a: Lanes, b: Lanes) -> Lanes {
    return (a - b) * (a - b);
}
