use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::mean_squared_error;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "loss/mean_squared_error");
    let x = TensorDesc::f32([2048, 1000]);
    let bytes = Throughput::Bytes(2048 * 1000 * 8);
    row(&mut group, "2048 x 1000 f32", own(), bytes, &[("a", x.clone()), ("b", x)], |graph, v| {
        mean_squared_error(graph, v[0], v[1])
    });
    group.finish();
}
