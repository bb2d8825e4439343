use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::slice;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element of the result.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "layout/slice");
    let inputs = [("x", TensorDesc::f32([1024, 3072]))];
    row(
        &mut group,
        "1M f32, a third of the columns",
        own(),
        Throughput::Bytes(8 << 20),
        &inputs,
        |graph, v| slice(graph, v[0], 1, 1024..2048),
    );
    group.finish();
}
