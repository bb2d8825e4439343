use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::sum;

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "sum");
    for (name, shape, axes) in [
        ("4096 x 1024 f32 over rows", [4096, 1024], &[0][..]),
        ("4096 x 1024 f32 over columns", [4096, 1024], &[1]),
        ("4096 x 1024 f32 over both", [4096, 1024], &[0, 1]),
        ("1M x 4 f32 over rows", [1 << 20, 4], &[0]),
    ] {
        let inputs = [("x", TensorDesc::f32(shape))];
        row(&mut group, name, own(), Throughput::Bytes(16 << 20), &inputs, |graph, v| sum(graph, v[0], axes));
    }
    group.finish();
}
