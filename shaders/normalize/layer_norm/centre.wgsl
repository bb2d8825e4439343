// Deviations are first taken from some element of the row and then from their own mean: that loses nothing where the mean is
// large beside them, and leaves exactly 0 of a constant row.
fn origin(first: u32) -> f32 {
    return lanes_max(element(first));
}

fn mean(lane_sum: f32, lane: u32) -> f32 {
    return row_sum(0u, lane_sum, lane) / f32(params.elements);
}
