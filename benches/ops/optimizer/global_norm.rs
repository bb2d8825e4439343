use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::optimizer::{GlobalNorm, global_norm};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "optimizer/global_norm");
    let inputs = [("scale", TensorDesc::f32([1])), ("gradient", TensorDesc::f32([1 << 20]))];
    let bytes = Throughput::Bytes(4 << 20);
    row(&mut group, "1M f32", own(), bytes, &inputs, |graph, v| {
        Ok(global_norm(graph, &v[1..], v[0], &GlobalNorm::default())?.0)
    });
    group.finish();
}
