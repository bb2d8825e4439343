fn lanes_max(x: Lanes) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

fn lanes_sum(x: Lanes) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

fn lane_of(x: Lanes, i: u32) -> f32 {
    return x[i];
}
