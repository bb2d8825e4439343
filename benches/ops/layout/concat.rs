use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::concat;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "layout/concat");
    let inputs = [("a", TensorDesc::f32([1024, 512])), ("b", TensorDesc::f32([1024, 512]))];
    row(&mut group, "1M f32, by columns", own(), Throughput::Bytes(8 << 20), &inputs, |graph, v| {
        concat(graph, v, 1)
    });
    group.finish();
}
