use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Pool, pool};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element; what is written is little beside it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "pool");
    for [batch, time] in [[16, 128], [1, 2048]] {
        let inputs = [("x", TensorDesc::f32([batch, time, 384]))];
        let bytes = Throughput::Bytes((batch * time * 384 * 4) as u64);
        row(&mut group, &format!("mean of {batch} x {time} x 384 f32"), own(), bytes, &inputs, |graph, v| {
            pool(graph, v[0], &Pool::mean())
        });
    }
    group.finish();
}
