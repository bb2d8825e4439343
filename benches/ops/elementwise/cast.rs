use criterion::{Criterion, Throughput};
use foveate::ops::cast;
use foveate::{DType, TensorDesc};

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    if !own().1.f16 {
        println!("elementwise/cast: this device has no f16 to cast to");
        return;
    }
    let mut group = group(criterion, "elementwise/cast");
    let inputs = [("x", TensorDesc::f32([1 << 20]))];
    row(&mut group, "1M f32 to f16", own(), Throughput::Bytes(6 << 20), &inputs, |graph, v| {
        cast(graph, v[0], DType::F16)
    });
    group.finish();
}
