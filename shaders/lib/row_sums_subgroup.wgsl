// The same where a workgroup is one subgroup.
fn row_sums(values: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(values);
}
