use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::l2_normalize;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalize/l2_normalize");
    let inputs = [("x", TensorDesc::f32([2048, 384]))];
    let bytes = Throughput::Bytes(2048 * 384 * 8);
    row(&mut group, "2048 x 384 f32", own(), bytes, &inputs, |graph, v| l2_normalize(graph, v[0], 1e-12));
    group.finish();
}
