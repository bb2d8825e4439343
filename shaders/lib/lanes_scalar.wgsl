fn lanes_max(x: Lanes) -> f32 {
    return x;
}

fn lanes_sum(x: Lanes) -> f32 {
    return x;
}

fn lane_of(x: Lanes, i: u32) -> f32 {
    return x;
}
