use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::mean_squared_error_backward;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both, and one write of one gradient.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "loss/mean_squared_error_backward");
    let x = TensorDesc::f32([2048, 1000]);
    let inputs = [("a", x.clone()), ("b", x), ("upstream", TensorDesc::f32([1]))];
    let bytes = Throughput::Bytes(2048 * 1000 * 12);
    row(&mut group, "2048 x 1000 f32, of the first", own(), bytes, &inputs, |graph, v| {
        Ok(mean_squared_error_backward(graph, v[0], v[1], v[2])?.0)
    });
    group.finish();
}
