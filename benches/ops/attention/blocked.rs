use criterion::{Criterion, Throughput};
use foveate::gpu::Context;
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::{Caps, DType, TensorDesc};

use crate::support::{bench as row, context, group, unchecked};

/// Multiply-adds count as two operations, so `Gelem/s` reads as GFLOP/s. Every row counts the work of full attention,
/// `4 * heads * queries * keys * head_size`: what a mask saves shows as a higher rate. Packed sequences count as one by one.
pub(crate) fn bench(criterion: &mut Criterion) {
    let own = (context(), context().caps());
    let mut group = group(criterion, "attention/blocked");
    let mut attention = |name: &str, on: (&Context, &Caps), dtype, queries: usize, keys: usize, mask| {
        let inputs = [
            ("query", TensorDesc::new(dtype, [1, queries, 4, 64])),
            ("key", TensorDesc::new(dtype, [1, keys, 4, 64])),
            ("value", TensorDesc::new(dtype, [1, keys, 4, 64])),
        ];
        let flops = Throughput::Elements(4 * (4 * queries * keys * 64) as u64);
        row(&mut group, name, on, flops, &inputs, |graph, v| {
            blocked(graph, v[0], v[1], v[2], &Blocked::new().mask(mask))
        });
    };
    attention("1024 f32", own, DType::F32, 1024, 1024, Mask::full());
    attention("1024 f32, unchecked", (unchecked(), unchecked().caps()), DType::F32, 1024, 1024, Mask::full());
    attention("1024 f32, causal", own, DType::F32, 1024, 1024, Mask::causal());
    attention("4096 f32", own, DType::F32, 4096, 4096, Mask::full());
    attention("4096 f32, window of 256", own, DType::F32, 4096, 4096, Mask::window(128, 127));
    attention("one query of 65,536 keys, f32", own, DType::F32, 1, 65_536, Mask::causal());
    if own.1.f16 {
        attention("1024 f16", own, DType::F16, 1024, 1024, Mask::full());
    }
    for (name, batch, time) in
        [("32 sequences of 64, 12 heads of 32, f32", 32, 64), ("the same, packed", 1, 2048)]
    {
        let desc = TensorDesc::f32([batch, time, 12, 32]);
        let mut inputs = ["query", "key", "value"].map(|name| (name, desc.clone())).to_vec();
        if batch == 1 {
            inputs.push(("ids", TensorDesc::i32([batch, time])));
        }
        let flops = Throughput::Elements(4 * (32 * 64 * 64 * 12 * 32) as u64);
        row(&mut group, name, own, flops, &inputs, |graph, v| {
            let spec = v.get(3).map_or(Blocked::new(), |&ids| Blocked::new().segments(ids));
            blocked(graph, v[0], v[1], v[2], &spec)
        });
    }
    group.finish();
}
