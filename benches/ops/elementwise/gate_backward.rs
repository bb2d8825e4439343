use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Activation, Gate, gate_backward};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both operands and one write of every factor's.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "elementwise/gate_backward");
    let inputs = [("z", TensorDesc::f32([1024, 2048])), ("upstream", TensorDesc::f32([1024, 1024]))];
    row(&mut group, "1M f32 a factor, Silu", own(), Throughput::Bytes(20 << 20), &inputs, |graph, v| {
        gate_backward(graph, v[0], v[1], Gate::First, Activation::Silu)
    });
    group.finish();
}
