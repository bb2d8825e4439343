use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::subtract;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every operand's element and one write.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "elementwise/subtract");
    let shape = [1024, 1024];
    let inputs = [("a", TensorDesc::f32(shape)), ("b", TensorDesc::f32(shape))];
    row(&mut group, "1M f32", own(), Throughput::Bytes(12 << 20), &inputs, |graph, v| {
        subtract(graph, v[0], v[1])
    });
    let inputs = [("a", TensorDesc::f32(shape)), ("b", TensorDesc::f32([1024]))];
    row(&mut group, "1M f32, a row repeated", own(), Throughput::Bytes(8 << 20), &inputs, |graph, v| {
        subtract(graph, v[0], v[1])
    });
    group.finish();
}
