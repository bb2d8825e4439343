// Elements count from 0, whatever their mean.
fn origin(first: u32) -> f32 {
    return 0.0;
}

fn mean(lane_sum: f32, lane: u32) -> f32 {
    return 0.0;
}
