// result[0] = sum of values / divisor, by one workgroup, each lane of which adds every WORKGROUP-th value. The divisor is a number, or how
// many targets count; 1 for none of them, whose losses are 0.
fn row(row: u32, lane: u32) {
    var lane_sum = 0.0;
    for (var i = lane; i < params.values; i += WORKGROUP) {
        lane_sum += load_values(i);
    }
    let sum = row_sum(0u, lane_sum, lane);

    var counted = 0u;
    for (var i = lane; i < params.targets; i += WORKGROUP) {
        // Negative classes are large ones here, which do not count.
        counted += u32(load_targets(i) < params.classes);
    }
    let divisor = select(params.divisor, max(row_sum(1u, f32(counted), lane), 1.0), COUNTS_TARGETS);
    if lane == 0u {
        store_result(0u, sum / divisor);
    }
}
