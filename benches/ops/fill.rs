use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::fill;

use crate::support::{bench as row, group, own};

/// Bytes are one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "fill");
    row(&mut group, "1M f32", own(), Throughput::Bytes(4 << 20), &[], |graph, _| {
        fill(graph, TensorDesc::f32([1 << 20]), 1.0)
    });
    group.finish();
}
