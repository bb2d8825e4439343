use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::transpose;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "layout/transpose");
    let bytes = Throughput::Bytes(8 << 20);
    let inputs = [("x", TensorDesc::f32([4, 256, 16, 64]))];
    row(&mut group, "1M f32, heads outwards", own(), bytes.clone(), &inputs, |graph, v| {
        transpose(graph, v[0], &[0, 2, 1, 3])
    });
    let inputs = [("x", TensorDesc::f32([1024, 1024]))];
    row(&mut group, "1M f32, a matrix", own(), bytes, &inputs, |graph, v| transpose(graph, v[0], &[1, 0]));
    group.finish();
}
