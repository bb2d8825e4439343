use criterion::{Criterion, Throughput};
use foveate::kernel::MatmulKernel;
use foveate::ops::{Matmul, matmul};
use foveate::{DType, TensorDesc};

use crate::support::{bench as row, context, group, unchecked};

/// Multiply-adds count as two operations, so `Gelem/s` reads as GFLOP/s.
pub(crate) fn bench(criterion: &mut Criterion) {
    let tuned = context().caps().clone();
    let mut classic = tuned.clone();
    classic.tuning.matmul = MatmulKernel::Classic;
    let mut group = group(criterion, "matmul");
    let flops = |m: usize, n: usize, k: usize| Throughput::Elements(2 * (m * n * k) as u64);
    let square =
        |dtype| [("a", TensorDesc::new(dtype, [1024, 1024])), ("b", TensorDesc::new(dtype, [1024, 1024]))];
    for (name, context, caps) in [
        ("1024 f32", context(), &tuned),
        ("1024 f32, unchecked", unchecked(), &tuned),
        ("1024 f32, classic tile, unchecked", unchecked(), &classic),
        ("1024 f32, classic tile", context(), &classic),
    ] {
        row(&mut group, name, (context, caps), flops(1024, 1024, 1024), &square(DType::F32), |graph, v| {
            matmul(graph, v[0], v[1], &Matmul::new())
        });
    }
    let own = (context(), &tuned);
    row(
        &mut group,
        "1024 f32, b transposed",
        own,
        flops(1024, 1024, 1024),
        &square(DType::F32),
        |graph, v| matmul(graph, v[0], v[1], &Matmul::new().transpose_b()),
    );
    if tuned.f16 {
        row(&mut group, "1024 f16", own, flops(1024, 1024, 1024), &square(DType::F16), |graph, v| {
            matmul(graph, v[0], v[1], &Matmul::new())
        });
    }
    let thin = [("a", TensorDesc::f32([1, 1024])), ("b", TensorDesc::f32([1024, 1024]))];
    row(&mut group, "1 x 1024 x 1024 f32", own, flops(1, 1024, 1024), &thin, |graph, v| {
        matmul(graph, v[0], v[1], &Matmul::new())
    });
    group.finish();
}
