fn slope(x: Lanes) -> Lanes {
    return Lanes(1.0);
}
