use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::l2_normalize_backward;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both and one write of the gradient.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalize/l2_normalize_backward");
    let x = TensorDesc::f32([2048, 384]);
    let bytes = Throughput::Bytes(2048 * 384 * 12);
    row(&mut group, "2048 x 384 f32", own(), bytes, &[("x", x.clone()), ("upstream", x)], |graph, v| {
        l2_normalize_backward(graph, v[0], v[1], 1e-12)
    });
    group.finish();
}
