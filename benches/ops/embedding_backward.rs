use criterion::{Criterion, Throughput};
use foveate::HostTensor;
use foveate::ops::embedding_backward;

use crate::support::{bench_on as row, group, own};

const TOKENS: usize = 4096;

/// Bytes are one read of every upstream row, and one write of every element of the table.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "embedding_backward");
    for (rows, width) in [(30_522, 384), (512, 384), (2, 384)] {
        let ids = (0..TOKENS).map(|i| if rows == 2 { 0 } else { (i * 7919 % rows) as u32 }).collect();
        let upstream = (0..TOKENS * width).map(|i| (i % 251) as f32).collect();
        let tensors = [HostTensor::u32([TOKENS], ids), HostTensor::f32([TOKENS, width], upstream)];
        let [ids, upstream] = tensors.map(|tensor| tensor.expect("as many as the shape has"));
        let bytes = Throughput::Bytes(((TOKENS + rows) * width * 4) as u64);
        let name = format!("{TOKENS} into {rows} x {width} f32");
        row(&mut group, &name, own(), bytes, &[("ids", ids), ("upstream", upstream)], |graph, v| {
            embedding_backward(graph, v[0], v[1], rows)
        });
    }
    group.finish();
}
