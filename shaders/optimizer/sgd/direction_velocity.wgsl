fn direction(gradient: Lanes, velocity: Lanes) -> Lanes {
    return velocity;
}
