use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::pad;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element and one write of every element of the result.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "layout/pad");
    let inputs = [("x", TensorDesc::f32([1024, 1024]))];
    row(
        &mut group,
        "1M f32, a third of the columns",
        own(),
        Throughput::Bytes(16 << 20),
        &inputs,
        |graph, v| pad(graph, v[0], 1, 1024, 3072),
    );
    group.finish();
}
