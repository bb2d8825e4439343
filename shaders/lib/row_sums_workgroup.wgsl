// Four sums over the lanes of a workgroup at once, each as `row_sum` adds them. A kernel calls it once.
var<workgroup> partial_sums: array<vec4<f32>, WORKGROUP>;

fn row_sums(values: vec4<f32>, lane: u32) -> vec4<f32> {
    partial_sums[lane] = values;
    workgroupBarrier();
    var sums = partial_sums[0];
    for (var i = 1u; i < WORKGROUP; i++) {
        sums += partial_sums[i];
    }
    return sums;
}
