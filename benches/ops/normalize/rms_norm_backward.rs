use criterion::{Criterion, Throughput};
use foveate::TensorDesc;
use foveate::ops::rms_norm_backward;

use crate::support::{bench as row, group, own};

/// Bytes are one read of both and one write of dx, and for d_weight one read of both by each of its two kernels.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "normalize/rms_norm_backward");
    for [rows, width] in [[4096, 384], [4096, 768], [64, 65_536]] {
        let x = TensorDesc::f32([rows, width]);
        let inputs = [("x", x.clone()), ("weight", TensorDesc::f32([width])), ("upstream", x)];
        let bytes = (rows * width * 4) as u64;
        let name = format!("{rows} x {width} f32");
        row(&mut group, &format!("{name}, dx"), own(), Throughput::Bytes(3 * bytes), &inputs, |graph, v| {
            Ok(rms_norm_backward(graph, v[0], v[1], v[2], None, 1e-5)?.0)
        });
        row(
            &mut group,
            &format!("{name}, d_weight"),
            own(),
            Throughput::Bytes(4 * bytes),
            &inputs,
            |graph, v| Ok(rms_norm_backward(graph, v[0], v[1], v[2], None, 1e-5)?.1),
        );
    }
    group.finish();
}
