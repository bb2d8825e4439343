fn element(i: u32) -> Lanes {
    return Lanes(x[i]);
}
