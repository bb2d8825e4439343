use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::kl_divergence;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "loss/kl_divergence");
    let x = TensorDesc::f32([2048, 1000]);
    let bytes = Throughput::Bytes(2048 * 1000 * 8);
    row(&mut group, "2048 x 1000 f32", own(), bytes, &[("a", x.clone()), ("b", x)], |graph, v| {
        kl_divergence(graph, v[0], v[1])
    });
    group.finish();
}
