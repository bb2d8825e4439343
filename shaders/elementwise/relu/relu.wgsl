fn relu(x: Lanes) -> Lanes {
    return max(x, Lanes(0.0));
}
