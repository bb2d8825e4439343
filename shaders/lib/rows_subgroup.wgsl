// The same where a workgroup is one subgroup.
fn row_max(slot: u32, value: f32, lane: u32) -> f32 {
    return subgroupMax(value);
}

fn row_sum(slot: u32, value: f32, lane: u32) -> f32 {
    return subgroupAdd(value);
}
