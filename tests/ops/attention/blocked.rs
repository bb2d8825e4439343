use foveate::check::{Case, Expectation, Random, exp_ulps};
use foveate::kernel::{AdapterKind, Caps, Tuning};
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::{self, Heads, Matmul};
use foveate::{DType, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu};
use proptest::prelude::*;

use crate::support::compare::relative_error;
use crate::support::{assert_error, refused, run};

/// How far f32 results may lie from a fixture, of the largest element: what the project set itself for f32.
pub(super) const F32_OF_LARGEST: f64 = 2e-5;

/// Exact attention without fusion, heads read in place.
fn unfused(graph: &mut Graph, q: Value, k: Value, v: Value, scale: f32) -> Result<Value> {
    let scores = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
    let scores = ops::matmul(graph, q, k, &scores)?;
    let scores = ops::scale(graph, scores, scale)?;
    let weights = ops::softmax(graph, scores)?;
    ops::matmul(graph, weights, v, &Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner))
}

#[test]
fn equals_the_unfused_steps() {
    const HEAD_SIZE: usize = 24;
    const SCALE: f32 = 0.3;
    let case = Case::new("attention/blocked", "fused and in steps", |problem| {
        let mut input = |name| problem.random(name, DType::F32, [2, 100, 3, HEAD_SIZE], 1.0);
        let (q, k, v) = (input("q")?, input("k")?, input("v")?);
        let fused = blocked(&mut problem.graph, q, k, v, &Blocked::new().scale(SCALE))?;
        Ok(vec![fused, unfused(&mut problem.graph, q, k, v, SCALE)?])
    });
    // Exponentials once above and once below the fraction bar, of differences between two scores.
    let case = case.builtin_ulps(2.0 * exp_ulps(2.0 * f64::from(SCALE) * HEAD_SIZE as f64));
    let problem = case.problem().unwrap();
    let outputs = run(&problem.graph, &problem.inputs());
    for (i, expectation) in Expectation::of(&case, &problem).unwrap().iter().enumerate() {
        for (name, found) in &outputs {
            let deviation = expectation.deviation(found);
            assert!(deviation.of_budget <= 1.0, "output {name} against the exact {i}: {deviation:?}");
        }
    }
}

fn random(seed: u64, shape: &[usize]) -> HostTensor {
    let mut random = Random::new(seed);
    let elements = shape.iter().product();
    HostTensor::f32(shape, (0..elements).map(|_| random.next_f32()).collect()).unwrap()
}

/// Sets an optional input.
type Set = fn(Blocked, Value) -> Blocked;

/// `blocked` of `q`, `k` and `v` on the device, and on the CPU reference.
fn run_both(qkv: [&HostTensor; 3], mask: Mask, optional: Option<(&HostTensor, Set)>) -> [HostTensor; 2] {
    let mut graph = Graph::new();
    let mut inputs: Vec<(&str, &HostTensor)> = ["q", "k", "v"].into_iter().zip(qkv).collect();
    let v: Vec<Value> = inputs.iter().map(|(name, t)| graph.input(name, t.desc()).unwrap()).collect();
    let mut spec = Blocked::new().mask(mask);
    if let Some((tensor, set)) = optional {
        spec = set(spec, graph.input("optional", tensor.desc()).unwrap());
        inputs.push(("optional", tensor));
    }
    let out = blocked(&mut graph, v[0], v[1], v[2], &spec).unwrap();
    graph.output("out", out).unwrap();
    [run(&graph, &inputs), cpu::run(&graph, &inputs).unwrap()].map(|outputs| outputs["out"].clone())
}

/// `blocked` on the device, as f32 elements.
fn run_blocked(
    q: &HostTensor,
    k: &HostTensor,
    v: &HostTensor,
    mask: Mask,
    lengths: Option<&[i32]>,
) -> Vec<f32> {
    let lengths = lengths.map(|lengths| HostTensor::i32([lengths.len()], lengths.to_vec()).unwrap());
    let optional = lengths.as_ref().map(|lengths| (lengths, Blocked::lengths as Set));
    run_both([q, k, v], mask, optional)[0].to_f32()
}

/// Two heads of 16 channels, the size of a token in the tests of packed sequences.
const TOKEN: usize = 2 * 16;

/// Packed sequences on the device.
fn run_packed(qkv: &[HostTensor; 3], mask: Mask, lengths: &[usize]) -> Vec<f32> {
    let ids: Vec<i32> = (0..).zip(lengths).flat_map(|(id, &length)| vec![id; length]).collect();
    let ids = HostTensor::i32([1, ids.len()], ids).unwrap();
    run_both(qkv.each_ref(), mask, Some((&ids, Blocked::segments)))[0].to_f32()
}

/// Fails unless `found` lies within the project's bound for f32 of `expected`. Key tiles begin elsewhere when sequences are
/// packed, so sums are rounded otherwise.
fn assert_near(found: &[f32], expected: &[f32]) {
    let tensor = |data: &[f32]| HostTensor::f32([data.len()], data.to_vec()).unwrap();
    let error = relative_error(&tensor(found), &tensor(expected));
    assert!(error < F32_OF_LARGEST, "{error:e}");
}

pub(super) fn any_mask() -> impl Strategy<Value = Mask> {
    prop_oneof![
        Just(Mask::full()),
        Just(Mask::causal()),
        (0u32..70, 0u32..70).prop_map(|(l, r)| Mask::window(l, r))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_window_as_long_as_the_keys_is_no_window(time in 1usize..140, seed: u64) {
        let [q, k, v] = [1, 2, 3].map(|i| random(seed ^ i, &[1, time, 2, 16]));
        let wide = time as u32;
        let full = run_blocked(&q, &k, &v, Mask::full(), None);
        prop_assert_eq!(&full, &run_blocked(&q, &k, &v, Mask::window(wide, wide), None));
        let causal = run_blocked(&q, &k, &v, Mask::causal(), None);
        prop_assert_eq!(&causal, &run_blocked(&q, &k, &v, Mask::window(wide, 0), None));
    }

    #[test]
    fn a_future_token_never_changes_the_past(time in 2usize..140, at in 1usize..139, seed: u64) {
        let at = at.min(time - 1);
        let [q, k, v] = [1, 2, 3].map(|i| random(seed ^ i, &[1, time, 2, 16]));
        let disturb = |tensor: &HostTensor| {
            let mut data = tensor.to_f32();
            data[at * 32..].iter_mut().for_each(|x| *x = 3.0 - *x);
            HostTensor::f32(tensor.shape().clone(), data).unwrap()
        };
        let before = run_blocked(&q, &k, &v, Mask::causal(), None);
        let after = run_blocked(&q, &disturb(&k), &disturb(&v), Mask::causal(), None);
        prop_assert_eq!(&before[..at * 32], &after[..at * 32]);
        prop_assert_ne!(&before[at * 32..], &after[at * 32..]);
    }

    #[test]
    fn a_batch_item_never_depends_on_its_neighbours(time in 1usize..100, seed: u64) {
        let [q, k, v] = [1, 2, 3].map(|i| random(seed ^ i, &[3, time, 2, 16]));
        let second = |tensor: &HostTensor| {
            let item = tensor.to_f32()[time * 32..2 * time * 32].to_vec();
            HostTensor::f32([1, time, 2, 16], item).unwrap()
        };
        let together = run_blocked(&q, &k, &v, Mask::causal(), None);
        let alone = run_blocked(&second(&q), &second(&k), &second(&v), Mask::causal(), None);
        prop_assert_eq!(&together[time * 32..2 * time * 32], &alone[..]);
    }

    #[test]
    fn padded_keys_never_change_anything(time in 1usize..100, padding in 1usize..80, seed: u64) {
        let [q, k, v] = [1, 2, 3].map(|i| random(seed ^ i, &[1, time, 2, 16]));
        let padded = |tensor: &HostTensor| {
            let mut data = tensor.to_f32();
            // What padding holds must not matter: a NaN would spread from a product with a zero weight.
            data.resize(data.len() + padding * 32, 1e30);
            HostTensor::f32([1, time + padding, 2, 16], data).unwrap()
        };
        let plain = run_blocked(&q, &k, &v, Mask::full(), None);
        let masked = run_blocked(&q, &padded(&k), &padded(&v), Mask::full(), Some(&[time as i32]));
        prop_assert_eq!(plain, masked);
    }

    #[test]
    fn packed_sequences_are_as_if_alone(
        lengths in prop::collection::vec(1usize..90, 1..7),
        mask in any_mask(),
        seed: u64,
    ) {
        let time: usize = lengths.iter().sum();
        let qkv = [1, 2, 3].map(|i| random(seed ^ i, &[1, time, 2, 16]));
        let packed = run_packed(&qkv, mask.clone(), &lengths);
        let mut at = 0;
        for length in lengths {
            let own = at * TOKEN..(at + length) * TOKEN;
            let alone = |t: &HostTensor| HostTensor::f32([1, length, 2, 16], t.to_f32()[own.clone()].to_vec()).unwrap();
            let [q, k, v] = qkv.each_ref().map(alone);
            assert_near(&packed[own], &run_blocked(&q, &k, &v, mask.clone(), None));
            at += length;
        }
    }

    #[test]
    fn packed_sequences_are_as_if_padded(
        lengths in prop::collection::vec(1usize..90, 1..7),
        mask in any_mask(),
        seed: u64,
    ) {
        let longest = *lengths.iter().max().unwrap();
        let counts: Vec<i32> = lengths.iter().map(|&length| length as i32).collect();
        let padded = [1, 2, 3].map(|i| random(seed ^ i, &[lengths.len(), longest, 2, 16]));
        let valid = |data: &[f32]| -> Vec<f32> {
            let rows = data.chunks(longest * TOKEN).zip(&lengths);
            rows.flat_map(|(rows, length)| rows[..length * TOKEN].to_vec()).collect()
        };
        let packed = padded.each_ref().map(|tensor| {
            let data = valid(&tensor.to_f32());
            HostTensor::f32([1, data.len() / TOKEN, 2, 16], data).unwrap()
        });
        let expected = run_blocked(&padded[0], &padded[1], &padded[2], mask.clone(), Some(&counts));
        assert_near(&run_packed(&packed, mask, &lengths), &valid(&expected));
    }

    #[test]
    fn ids_out_of_order_see_something_and_end(ids in prop::collection::vec(-3i32..4, 1..200), seed: u64) {
        let [q, k, v] = [1, 2, 3].map(|i| random(seed ^ i, &[1, ids.len(), 2, 16]));
        let ids = HostTensor::i32([1, ids.len()], ids).unwrap();
        for out in run_both([&q, &k, &v], Mask::full(), Some((&ids, Blocked::segments))) {
            // Means of values that lie between -1 and 1; a row that sees nothing would be 0 throughout.
            prop_assert!(out.to_f32().iter().all(|x| x.abs() <= 1.001));
            prop_assert!(out.to_f32().chunks(16).all(|row| row.iter().any(|&x| x != 0.0)));
        }
    }
}

#[test]
fn memory_is_linear_in_length() {
    let memory = |time: usize| {
        let mut graph = Graph::new();
        let [q, k, v] =
            ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::f16([1, time, 8, 64])).unwrap());
        let out = blocked(&mut graph, q, k, v, &Blocked::new().mask(Mask::causal())).unwrap();
        graph.output("out", out).unwrap();
        let caps = Caps { f16: true, ..Caps::webgpu_default() };
        *Plan::new(&graph, &caps).unwrap().memory()
    };
    let (short, long) = (memory(4_096), memory(65_536));
    assert_eq!(long.inputs, 16 * short.inputs);
    assert_eq!(long.working, 0);
    assert_eq!(long.outputs, 64 << 20);
}

#[test]
fn one_query_over_many_keys_is_split_over_workgroups() {
    let mut graph = Graph::new();
    let q = graph.input("q", TensorDesc::f32([1, 1, 4, 64])).unwrap();
    let [k, v] = ["k", "v"].map(|name| graph.input(name, TensorDesc::f32([1, 8192, 4, 64])).unwrap());
    let out = blocked(&mut graph, q, k, v, &Blocked::new()).unwrap();
    graph.output("out", out).unwrap();
    for adapter in [AdapterKind::Cpu, AdapterKind::Discrete] {
        let caps = Caps { adapter, tuning: Tuning::for_adapter(adapter, None), ..Caps::webgpu_default() };
        let plan = Plan::new(&graph, &caps).unwrap();
        let step = &plan.report()[0];
        assert_eq!(step.dispatches, 2, "{step:?}");
        assert!(step.workgroups > 8, "{step:?}");
    }
}

#[test]
fn shapes_and_settings_that_do_not_fit_are_refused() {
    let q = [2, 10, 4, 16];
    let check = |q: &[usize], k: &[usize], v: &[usize], spec: Blocked, kind: ErrorKind, place: &str| {
        let descs = [q, k, v].map(TensorDesc::f32);
        assert_error(&refused(&descs, |graph, v| blocked(graph, v[0], v[1], v[2], &spec)), kind, place);
    };
    check(&[2, 10, 64], &q, &q, Blocked::new(), ErrorKind::Shape, "attention/blocked: query");
    check(&q, &[2, 10, 4, 8], &q, Blocked::new(), ErrorKind::Shape, "attention/blocked: key");
    check(&q, &[2, 10, 3, 16], &[2, 10, 3, 16], Blocked::new(), ErrorKind::Shape, "attention/blocked: key");
    check(&q, &[2, 10, 4, 16], &[2, 11, 4, 16], Blocked::new(), ErrorKind::Shape, "attention/blocked: value");
    check(&[2, 10, 0, 16], &q, &q, Blocked::new(), ErrorKind::Shape, "attention/blocked: query");
    let wide = [1, 2, 1, 257];
    check(&wide, &wide, &wide, Blocked::new(), ErrorKind::Limit, "attention/blocked: query");
    check(&q, &q, &q, Blocked::new().softcap(0.0), ErrorKind::Argument, "attention/blocked: softcap");
    check(&q, &q, &q, Blocked::new().scale(f32::NAN), ErrorKind::Argument, "attention/blocked: scale");
}

#[test]
fn types_that_do_not_fit_are_refused() {
    let shape = [1, 2, 1, 4];
    let append = |graph: &mut Graph, v: &[Value]| blocked(graph, v[0], v[1], v[2], &Blocked::new());
    let error = refused(&[TensorDesc::f32(shape), TensorDesc::f16(shape), TensorDesc::f32(shape)], append);
    assert_error(&error, ErrorKind::Dtype, "attention/blocked: key");

    let mut descs = vec![TensorDesc::f32(shape); 3];
    descs.push(TensorDesc::i32([2]));
    let append =
        |graph: &mut Graph, v: &[Value]| blocked(graph, v[0], v[1], v[2], &Blocked::new().lengths(v[3]));
    let place = "attention/blocked: lengths";
    assert_error(&refused(&descs, append), ErrorKind::Shape, place);
}

#[test]
fn segments_that_do_not_fit_are_refused() {
    let refusal = |key_time: usize, ids: TensorDesc| {
        let q = TensorDesc::f32([2, 10, 4, 16]);
        let k = TensorDesc::f32([2, key_time, 4, 16]);
        refused(&[q, k.clone(), k, ids], |graph, v| {
            blocked(graph, v[0], v[1], v[2], &Blocked::new().segments(v[3]))
        })
    };
    let segments = "attention/blocked: segments";
    assert_error(&refusal(11, TensorDesc::i32([2, 10])), ErrorKind::Shape, "attention/blocked: key");
    assert_error(&refusal(10, TensorDesc::i32([2, 9])), ErrorKind::Shape, segments);
    assert_error(&refusal(10, TensorDesc::f32([2, 10])), ErrorKind::Dtype, segments);
}

#[test]
fn a_device_without_f16_refuses_f16() {
    let mut graph = Graph::new();
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::f16([1, 2, 1, 4])).unwrap());
    let out = blocked(&mut graph, q, k, v, &Blocked::new()).unwrap();
    graph.output("out", out).unwrap();
    let error = Plan::new(&graph, &Caps::webgpu_default()).unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, "attention/blocked"));
}
