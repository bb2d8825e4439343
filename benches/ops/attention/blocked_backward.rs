use criterion::{Criterion, Throughput};
use foveate::ops::attention::{Attended, Blocked, Mask, blocked, blocked_backward};
use foveate::{DType, Graph, Result, TensorDesc, Value};

use crate::support::{bench as row, bench_all as row_of_all, group, own};

/// Each backward pass beside its forward pass. Rows count the work of full attention, five products backward where forward has two:
/// `4` and `10 * heads * queries * keys * head_size`. Seven products are really made, as scores are computed twice.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = group(criterion, "attention/blocked_backward");
    let mut pair = |name: &str, dtype, [time, heads, size]: [usize; 3], mask| {
        let spec = Blocked::new().mask(mask);
        let desc = TensorDesc::new(dtype, [1, time, heads, size]);
        let mut inputs = ["query", "key", "value", "out", "d_out"].map(|name| (name, desc.clone())).to_vec();
        inputs.push(("lse", TensorDesc::f32([1, heads, time])));
        let product = (2 * heads * time * time * size) as u64;
        row(
            &mut group,
            &format!("{name}, forward"),
            own(),
            Throughput::Elements(2 * product),
            &inputs[..3],
            |graph, v| blocked(graph, v[0], v[1], v[2], &spec),
        );
        for (part, wanted, products) in [
            ("backward", 0..3, 5),
            ("backward, queries only", 0..1, 3),
            ("backward, keys and values only", 1..3, 4),
        ] {
            let build = |graph: &mut Graph, v: &[Value]| -> Result<Vec<Value>> {
                let attended = Attended { out: v[3], lse: v[5], d_out: v[4], d_lse: None };
                Ok(blocked_backward(graph, v[0], v[1], v[2], &attended, &spec)?[wanted].to_vec())
            };
            let flops = Throughput::Elements(products * product);
            row_of_all(&mut group, &format!("{name}, {part}"), own(), flops, &inputs, build);
        }
    };
    pair("1024 x 4 heads of 64, f32", DType::F32, [1024, 4, 64], Mask::full());
    pair("the same, causal", DType::F32, [1024, 4, 64], Mask::causal());
    group.finish();
}
