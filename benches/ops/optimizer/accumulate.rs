use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::optimizer::accumulate;

use crate::support::{bench as row, group, own};

/// Bytes are two reads and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "optimizer/accumulate");
    let inputs = [("total", TensorDesc::f32([1 << 20])), ("gradient", TensorDesc::f32([1 << 20]))];
    let bytes = Throughput::Bytes(12 << 20);
    row(&mut group, "1M f32", own(), bytes, &inputs, |graph, v| accumulate(graph, v[0], v[1]));
    group.finish();
}
