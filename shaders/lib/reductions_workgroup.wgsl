// Reductions over the lanes of a workgroup. Calls of a kernel take slots 0 and 1 by turns, so that none waits for the readers of the one
// before it: the barrier between two of them is behind the readers of the one before both. Every invocation folds the few partial values
// in the same order: cheaper than a tree's barriers, and repeatable.
var<workgroup> partial: array<array<f32, WORKGROUP>, 2>;

fn row_max(slot: u32, value: f32, lane: u32) -> f32 {
    partial[slot][lane] = value;
    workgroupBarrier();
    var largest = partial[slot][0];
    for (var i = 1u; i < WORKGROUP; i++) {
        largest = max(largest, partial[slot][i]);
    }
    return largest;
}

fn row_sum(slot: u32, value: f32, lane: u32) -> f32 {
    partial[slot][lane] = value;
    workgroupBarrier();
    var sum = partial[slot][0];
    for (var i = 1u; i < WORKGROUP; i++) {
        sum += partial[slot][i];
    }
    return sum;
}

// Four sums at once. A kernel calls it once.
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
