use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::gelu_tanh;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "elementwise/gelu_tanh");
    let inputs = [("x", TensorDesc::f32([1 << 20]))];
    row(&mut group, "1M f32", own(), Throughput::Bytes(8 << 20), &inputs, |graph, v| gelu_tanh(graph, v[0]));
    group.finish();
}
