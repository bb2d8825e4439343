use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Activation, activation_backward};

use crate::support::{bench as row, group, own};

/// Bytes are one read of every element of both operands and one write.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "elementwise/activation_backward");
    let desc = TensorDesc::f32([1 << 20]);
    let inputs = [("x", desc.clone()), ("upstream", desc)];
    for activation in [Activation::Gelu, Activation::Silu] {
        let name = format!("1M f32, {activation:?}");
        row(&mut group, &name, own(), Throughput::Bytes(12 << 20), &inputs, |graph, v| {
            activation_backward(graph, v[0], v[1], activation)
        });
    }
    group.finish();
}
