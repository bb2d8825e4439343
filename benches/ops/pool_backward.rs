use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Pool, pool_backward};

use crate::support::{bench as row, group, own};

/// Bytes are one write of every element; what is read is little beside it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "pool_backward");
    for [batch, time] in [[16, 128], [1, 2048]] {
        let inputs =
            [("x", TensorDesc::f32([batch, time, 384])), ("upstream", TensorDesc::f32([batch, 384]))];
        let bytes = Throughput::Bytes((batch * time * 384 * 4) as u64);
        row(&mut group, &format!("mean of {batch} x {time} x 384 f32"), own(), bytes, &inputs, |graph, v| {
            pool_backward(graph, v[0], v[1], &Pool::mean())
        });
    }
    group.finish();
}
