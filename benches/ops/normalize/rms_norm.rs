use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::{RmsNorm, rms_norm};

use crate::support::{bench as row, group, own};

/// Bytes are one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalize/rms_norm");
    for [rows, width] in [[2048, 384], [64, 65_536]] {
        let inputs = [("x", TensorDesc::f32([rows, width])), ("weight", TensorDesc::f32([width]))];
        let bytes = Throughput::Bytes((rows * width * 8) as u64);
        row(&mut group, &format!("{rows} x {width} f32"), own(), bytes, &inputs, |graph, v| {
            rms_norm(graph, v[0], v[1], &RmsNorm::new(1e-5))
        });
    }
    group.finish();
}
