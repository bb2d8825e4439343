use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::log_softmax_backward;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both operands and one write, the least there is.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "log_softmax_backward");
    for [rows, width] in [[4096, 1024], [64, 65_536]] {
        let inputs = [("y", TensorDesc::f32([rows, width])), ("upstream", TensorDesc::f32([rows, width]))];
        let bytes = Throughput::Bytes((rows * width * 12) as u64);
        row(&mut group, &format!("{rows} x {width} f32"), own(), bytes, &inputs, |graph, v| {
            log_softmax_backward(graph, v[0], v[1])
        });
    }
    group.finish();
}
