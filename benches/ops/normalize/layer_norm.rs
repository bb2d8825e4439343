use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{LayerNorm, layer_norm};

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element, and one more read where there is a residual.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalize/layer_norm");
    for [rows, width] in [[2048, 384], [2048, 768], [64, 65_536]] {
        let (x, row_desc) = (TensorDesc::f32([rows, width]), TensorDesc::f32([width]));
        let inputs = [("x", x.clone()), ("weight", row_desc.clone()), ("bias", row_desc), ("residual", x)];
        let bytes = (rows * width * 4) as u64;
        let name = format!("{rows} x {width} f32");
        row(&mut group, &name, own(), Throughput::Bytes(2 * bytes), &inputs[..3], |graph, v| {
            layer_norm(graph, v[0], v[1], Some(v[2]), &LayerNorm::new(1e-5))
        });
        let name = format!("{name} + residual");
        row(&mut group, &name, own(), Throughput::Bytes(3 * bytes), &inputs, |graph, v| {
            layer_norm(graph, v[0], v[1], Some(v[2]), &LayerNorm::new(1e-5).residual(v[3]))
        });
    }
    group.finish();
}
