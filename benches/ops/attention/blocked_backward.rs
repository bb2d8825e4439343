use criterion::{Criterion, Throughput};
use foveate::ops::{
    self,
    attention::{Attended, Blocked, Mask, blocked, blocked_backward},
};
use foveate::{DType, Graph, Result, TensorDesc, Value};

use super::rules::{HEADS, Make, PAIRS, Pair, longformer, relative_keys, tenth_of_blocks};
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
    let mut ruled = |name: &str, time: usize, make: Make| {
        let desc = TensorDesc::f32([1, time, HEADS, 64]);
        let mut inputs = ["query", "key", "value", "out", "d_out"].map(|name| (name, desc.clone())).to_vec();
        inputs.push(("lse", TensorDesc::f32([1, HEADS, time])));
        let build = |graph: &mut Graph, v: &[Value]| -> Result<Vec<Value>> {
            let spec = make(graph, time)?;
            let attended = Attended { out: v[3], lse: v[5], d_out: v[4], d_lse: None };
            Ok(blocked_backward(graph, v[0], v[1], v[2], &attended, &spec)?[..3].to_vec())
        };
        let flops = Throughput::Elements(10 * (HEADS * time * time * 64) as u64);
        row_of_all(&mut group, name, own(), flops, &inputs, build);
    };
    for Pair { name, time, built_in, by_hand } in PAIRS {
        ruled(&format!("{name}, backward"), *time, *built_in);
        ruled(&format!("{name}, by hand, backward"), *time, *by_hand);
    }
    ruled("4096 tokens, backward", 4096, |_, _| Ok(Blocked::new()));
    ruled("a tenth of the blocks of 64, 4096 tokens, backward", 4096, tenth_of_blocks);
    ruled("8192 tokens, backward", 8192, |_, _| Ok(Blocked::new()));
    ruled("window of 256 and 2 global tokens, 8192 tokens, backward", 8192, longformer);
    // Relative keys take further ops around this one, so that they are timed as whole steps.
    let mut step = |name: &str, make: Make| {
        let inputs = ["query", "key", "value"].map(|name| (name, TensorDesc::f32([1, 1024, HEADS, 64])));
        let flops = Throughput::Elements(14 * (HEADS * 1024 * 1024 * 64) as u64);
        row_of_all(&mut group, name, own(), flops, &inputs, |graph, v| {
            let spec = make(graph, 1024)?;
            let out = blocked(graph, v[0], v[1], v[2], &spec)?;
            let loss = ops::sum(graph, out, &[0, 1, 2, 3])?;
            let loss = ops::reshape(graph, loss, [])?;
            graph.gradients(loss, v)
        });
    };
    step("causal, 1024 tokens, forward and backward", |_, _| Ok(Blocked::new().mask(Mask::causal())));
    step("relative keys, causal, 1024 tokens, forward and backward", relative_keys);
    group.finish();
}
