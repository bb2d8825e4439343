fn divisor(lane: u32) -> f32 {
    return params.divisor;
}
