use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{CrossEntropy, cross_entropy_backward};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every logit and one write of its gradient.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "loss/cross_entropy_backward");
    for [rows, classes] in [[4096, 1000], [256, 30_522]] {
        let inputs = [
            ("logits", TensorDesc::f32([rows, classes])),
            ("targets", TensorDesc::i32([rows])),
            ("lse", TensorDesc::f32([rows])),
            ("upstream", TensorDesc::f32([1])),
        ];
        let bytes = Throughput::Bytes((rows * classes * 8) as u64);
        row(&mut group, &format!("{rows} x {classes} f32"), own(), bytes, &inputs, |graph, v| {
            cross_entropy_backward(graph, v[0], v[1], v[2], v[3], None, &CrossEntropy::new())
        });
    }
    group.finish();
}
