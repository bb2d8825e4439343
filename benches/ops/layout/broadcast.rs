use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::broadcast;

use crate::support::{bench as row, group, own};

/// Bytes are one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "layout/broadcast");
    for (name, shape) in [("1M f32, a row", [1, 1024]), ("1M f32, a column", [1024, 1])] {
        let inputs = [("x", TensorDesc::f32(shape))];
        row(&mut group, name, own(), Throughput::Bytes(4 << 20), &inputs, |graph, v| {
            broadcast(graph, v[0], [1024, 1024])
        });
    }
    group.finish();
}
