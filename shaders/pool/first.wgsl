fn pool(first: u32, positions: u32) -> Lanes {
    return Lanes(x[first]);
}
