use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{Activation, Gate, Linear, linear};

use crate::support::{bench as row, group, own};

/// The layers of MiniLM on 2048 tokens. Multiply-adds count as two operations, so `Gelem/s` reads as GFLOP/s.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "linear");
    let flops = |out: usize, inner: usize| Throughput::Elements(2 * (2048 * out * inner) as u64);
    let inputs = |out: usize, inner: usize| {
        let rows = [2048, inner];
        [
            ("x", TensorDesc::f32(rows)),
            ("weight", TensorDesc::f32([out, inner])),
            ("bias", TensorDesc::f32([out])),
            ("residual", TensorDesc::f32([2048, out])),
        ]
    };
    for (name, out, inner) in
        [("384 to 384", 384, 384), ("384 to 1536", 1536, 384), ("1536 to 384", 384, 1536)]
    {
        row(&mut group, name, own(), flops(out, inner), &inputs(out, inner), |graph, v| {
            linear(graph, v[0], v[1], &Linear::new().bias(v[2]))
        });
    }
    row(&mut group, "384 to 1536, gelu", own(), flops(1536, 384), &inputs(1536, 384), |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().bias(v[2]).activation(Activation::Gelu))
    });
    row(&mut group, "1536 to 384, residual", own(), flops(384, 1536), &inputs(384, 1536), |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().bias(v[2]).residual(v[3]))
    });
    let gated = [("x", TensorDesc::f32([2048, 384])), ("weight", TensorDesc::f32([3072, 384]))];
    row(&mut group, "384 to 1536, SwiGLU", own(), flops(3072, 384), &gated, |graph, v| {
        linear(graph, v[0], v[1], &Linear::new().activation(Activation::Silu).gated(Gate::First))
    });
    group.finish();
}
