use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{CrossEntropy, cross_entropy};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every logit.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "loss/cross_entropy");
    for [rows, classes] in [[4096, 1000], [256, 30_522]] {
        let inputs = [("logits", TensorDesc::f32([rows, classes])), ("targets", TensorDesc::i32([rows]))];
        let bytes = Throughput::Bytes((rows * classes * 4) as u64);
        row(&mut group, &format!("{rows} x {classes} f32"), own(), bytes, &inputs, |graph, v| {
            cross_entropy(graph, v[0], v[1], &CrossEntropy::new())
        });
    }
    group.finish();
}
