fn biased(y: Lanes, i: u32) -> Lanes {
    return y;
}
