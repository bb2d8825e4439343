use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::optimizer::{Control, Sgd, sgd};

use crate::support::{bench as row, group, own};

/// Bytes are three reads and two writes of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "optimizer/sgd");
    let inputs = [
        ("parameter", TensorDesc::f32([1 << 20])),
        ("gradient", TensorDesc::f32([1 << 20])),
        ("velocity", TensorDesc::f32([1 << 20])),
        ("schedule", TensorDesc::f32([3])),
        ("factor", TensorDesc::f32([1])),
    ];
    let bytes = Throughput::Bytes(20 << 20);
    row(&mut group, "1M f32", own(), bytes, &inputs, |graph, v| {
        let control = Control { schedule: v[3], factor: v[4] };
        Ok(sgd(graph, v[0], v[1], v[2], control, &Sgd { momentum: 0.9, ..Sgd::default() })?.0)
    });
    group.finish();
}
