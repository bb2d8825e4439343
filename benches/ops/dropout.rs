use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Dropout, dropout};

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "dropout");
    let inputs = [("x", TensorDesc::f32([1 << 20])), ("step", TensorDesc::u32([1]))];
    row(&mut group, "1M f32", own(), Throughput::Bytes(8 << 20), &inputs, |graph, v| {
        dropout(graph, v[0], &Dropout { rate: 0.1, seed: 1, stream: 0 }, v[1])
    });
    group.finish();
}
