fn direction(gradient: Lanes, velocity: Lanes) -> Lanes {
    return gradient + params.momentum * velocity;
}
