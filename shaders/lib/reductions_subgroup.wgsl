// Reductions over the lanes of a workgroup that is one subgroup. `slot` is for those of larger workgroups.
fn row_max(slot: u32, value: f32, lane: u32) -> f32 {
    return subgroupMax(value);
}

fn row_sum(slot: u32, value: f32, lane: u32) -> f32 {
    return subgroupAdd(value);
}

fn row_sums(values: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(values);
}
