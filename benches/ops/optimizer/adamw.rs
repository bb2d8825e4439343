use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::optimizer::{AdamW, Control, Moments, adamw};

use crate::support::{bench as row, group, own};

/// Bytes are four reads and three writes of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "optimizer/adamw");
    let inputs = [
        ("parameter", TensorDesc::f32([1 << 20])),
        ("gradient", TensorDesc::f32([1 << 20])),
        ("first", TensorDesc::f32([1 << 20])),
        ("second", TensorDesc::f32([1 << 20])),
        ("schedule", TensorDesc::f32([3])),
        ("factor", TensorDesc::f32([1])),
    ];
    let bytes = Throughput::Bytes(28 << 20);
    row(&mut group, "1M f32", own(), bytes, &inputs, |graph, v| {
        let (control, moments) =
            (Control { schedule: v[4], factor: v[5] }, Moments { first: v[2], second: v[3] });
        Ok(adamw(graph, v[0], v[1], moments, control, &AdamW::default())?.0)
    });
    group.finish();
}
