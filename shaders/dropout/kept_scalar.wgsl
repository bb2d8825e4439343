fn kept(scaled: Lanes, element: u32) -> Lanes {
    return select(0.0, scaled, numbers(element / 4u)[element % 4u] >= params.threshold);
}
