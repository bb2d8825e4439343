use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::log_softmax;

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element, the least there is.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "log_softmax");
    for [rows, width] in [[4096, 1024], [64, 65_536]] {
        let inputs = [("x", TensorDesc::f32([rows, width]))];
        let bytes = Throughput::Bytes((rows * width * 8) as u64);
        row(&mut group, &format!("{rows} x {width} f32"), own(), bytes, &inputs, |graph, v| {
            log_softmax(graph, v[0])
        });
    }
    group.finish();
}
