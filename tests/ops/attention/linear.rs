//! Linear attention: a text read in pieces, chunks of every length, what queries must not see, and settings that mean nothing.

use std::collections::BTreeMap;

use foveate::check::{Random, compare_custom_feature};
use foveate::gpu::Program;
use foveate::ops::attention::{
    CustomFeature, Denominator, FeatureMap, FeaturesOf, LinearAttention, LinearState, SoftmaxKernel,
    check_beta, check_log_decay, cosine_features, generalized_kernel_features, linear_attention,
    linear_attention_with_state, softmax_kernel_features,
};
use foveate::ops::{Activation, concat, mean_squared_error, slice};
use foveate::{Caps, DType, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu};

use crate::support::compare::relative_error;
use crate::support::{assert_error, context, own_caps, refused, run};

pub(super) const TIME: usize = 150;
pub(super) const HEADS: usize = 4;
pub(super) const KV_HEADS: usize = 2;
const SIZE: usize = 16;
const VALUE_SIZE: usize = 12;

/// What sums over that many keys in f32 may lose in another order, of the largest element.
pub(super) const F32_OF_LARGEST: f64 = 2e-6;

pub(super) type Tensors = Vec<(&'static str, HostTensor)>;

fn random(random: &mut Random, shape: [usize; 4]) -> HostTensor {
    let elements = (0..shape.iter().product()).map(|_| random.next_f32()).collect();
    HostTensor::f32(shape, elements).unwrap()
}

/// Query, key and value of `batch` items.
pub(super) fn tensors(seed: u64, batch: usize) -> Tensors {
    let mut source = Random::new(seed);
    vec![
        ("q", random(&mut source, [batch, TIME, HEADS, SIZE])),
        ("k", random(&mut source, [batch, TIME, KV_HEADS, SIZE])),
        ("v", random(&mut source, [batch, TIME, KV_HEADS, VALUE_SIZE])),
    ]
}

/// The inputs of a graph, and what `append` makes of query, key and value.
pub(super) fn graph(
    tensors: &Tensors,
    append: impl FnOnce(&mut Graph, [Value; 3]) -> Result<Vec<(&'static str, Value)>>,
) -> Graph {
    let mut graph = Graph::new();
    let mut input = |at: usize| graph.input(tensors[at].0, tensors[at].1.desc()).unwrap();
    let qkv = [input(0), input(1), input(2)];
    for (name, value) in append(&mut graph, qkv).unwrap() {
        graph.output(name, value).unwrap();
    }
    graph
}

pub(super) fn outputs(graph: &Graph, tensors: &Tensors) -> BTreeMap<String, HostTensor> {
    let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    run(graph, &inputs)
}

/// `out` of one call with `spec`.
fn attended(tensors: &Tensors, spec: &LinearAttention) -> HostTensor {
    let graph = graph(tensors, |graph, [q, k, v]| Ok(vec![("out", linear_attention(graph, q, k, v, spec)?)]));
    outputs(&graph, tensors).remove("out").unwrap()
}

/// The elements of `[batch, time, ..]` at the times in `times` of an item.
pub(super) fn rows(tensor: &HostTensor, item: usize, times: std::ops::Range<usize>) -> Vec<f32> {
    let width: usize = tensor.shape().dims()[2..].iter().product();
    tensor.to_f32()[(item * TIME + times.start) * width..(item * TIME + times.end) * width].to_vec()
}

/// A copy whose elements at the times in `times` of an item are `value`.
pub(super) fn overwritten(
    tensor: &HostTensor,
    item: usize,
    times: std::ops::Range<usize>,
    value: f32,
) -> HostTensor {
    let dims = tensor.shape().dims().to_vec();
    let width: usize = dims[2..].iter().product();
    let mut elements = tensor.to_f32();
    elements[(item * TIME + times.start) * width..(item * TIME + times.end) * width].fill(value);
    HostTensor::f32(dims, elements).unwrap()
}

#[test]
fn a_text_in_pieces_is_the_whole_text_with_and_without_a_denominator() {
    let tensors = tensors(1, 2);
    let pieces = [0..70, 70..71, 71..72, 72..130, 130..TIME];
    for is_normalised in [true, false] {
        let spec = || {
            let spec = LinearAttention::new().causal();
            if is_normalised { spec } else { spec.feature_map(FeatureMap::Given).unnormalised().scale(0.25) }
        };
        let graph = graph(&tensors, |graph, qkv| {
            let (mut outs, mut state): (Vec<Value>, Option<LinearState>) = (Vec::new(), None);
            for times in pieces.clone() {
                let [q, k, v] = qkv.map(|value| slice(graph, value, 1, times.clone()).unwrap());
                let spec = state.map_or_else(spec, |state| spec().state(state));
                let (out, next) = linear_attention_with_state(graph, q, k, v, &spec)?;
                outs.push(out);
                state = Some(next);
            }
            let (whole, last) = linear_attention_with_state(graph, qkv[0], qkv[1], qkv[2], &spec())?;
            let in_pieces = concat(graph, &outs, 1)?;
            let sums = state.expect("there are pieces").sums;
            Ok(vec![("whole", whole), ("pieces", in_pieces), ("last", last.sums), ("last of pieces", sums)])
        });
        let found = outputs(&graph, &tensors);
        for (whole, pieces) in [("whole", "pieces"), ("last", "last of pieces")] {
            let error = relative_error(&found[pieces], &found[whole]);
            assert!(error <= F32_OF_LARGEST, "{pieces}, normalised: {is_normalised}: {error:e}");
        }
    }
}

#[test]
fn chunks_of_every_length_give_the_same_numbers() {
    let tensors = tensors(2, 1);
    let spec = LinearAttention::new().causal();
    let expected = attended(&tensors, &spec);
    for chunk in [1, 16, 100, 1 << 20] {
        let found = attended(&tensors, &spec.clone().chunk(chunk));
        let error = relative_error(&found, &expected);
        assert!(error <= F32_OF_LARGEST, "chunks of {chunk}: {error:e}");
    }
}

#[test]
fn chunks_are_longer_where_one_binding_would_not_hold_their_states() {
    let tensors = tensors(16, 1);
    let spec = LinearAttention::new().causal().chunk(1);
    let graph =
        graph(&tensors, |graph, [q, k, v]| Ok(vec![("out", linear_attention(graph, q, k, v, &spec)?)]));
    let plan = Plan::new(&graph, &Caps { max_binding_bytes: 1 << 16, ..own_caps() }).unwrap();
    let kernel = plan.report()[0].choice.clone().map(|choice| choice.kernel);
    assert_eq!(kernel.as_deref(), Some("chunks of 8"));
    let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let found = Program::new(context(), &plan).unwrap().run(&inputs).unwrap();
    let error = relative_error(&found["out"], &outputs(&graph, &tensors)["out"]);
    assert!(error <= F32_OF_LARGEST, "{error:e}");
}

#[test]
fn what_comes_later_changes_no_bit_of_what_was_before() {
    let tensors = tensors(3, 1);
    let spec = LinearAttention::new().causal();
    let expected = attended(&tensors, &spec);
    for time in [1, 63, 64, 90] {
        let later = tensors.iter().map(|(name, tensor)| (*name, overwritten(tensor, 0, time..TIME, 3.0)));
        let found = attended(&later.collect(), &spec);
        assert_eq!(rows(&found, 0, 0..time), rows(&expected, 0, 0..time), "from {time} on");
        assert_ne!(rows(&found, 0, time..TIME), rows(&expected, 0, time..TIME), "from {time} on");
    }
}

#[test]
fn padding_of_any_kind_and_other_items_change_no_bit() {
    let tensors = tensors(4, 3);
    let lengths = [TIME, 70, 0];
    for is_causal in [false, true] {
        let spread = |tensors: &Tensors| {
            let mut tensors = tensors.clone();
            let lengths = lengths.map(|length| length as i32).to_vec();
            tensors.push(("lengths", HostTensor::i32([3], lengths).unwrap()));
            let graph = graph(&tensors, |graph, [q, k, v]| {
                let lengths = graph.input("lengths", TensorDesc::new(DType::I32, [3]))?;
                let spec = LinearAttention::new().lengths(lengths);
                let spec = if is_causal { spec.causal() } else { spec };
                Ok(vec![("out", linear_attention(graph, q, k, v, &spec)?)])
            });
            outputs(&graph, &tensors).remove("out").unwrap()
        };
        let expected = spread(&tensors);
        let mut padded = tensors.clone();
        for (item, length) in lengths.into_iter().enumerate() {
            for at in [1, 2] {
                padded[at].1 = overwritten(&padded[at].1, item, length..TIME, f32::NAN);
            }
        }
        padded[0].1 = overwritten(&padded[0].1, 1, 0..TIME, -7.0);
        let found = spread(&padded);
        for item in [0, 2] {
            let times = 0..TIME;
            assert_eq!(rows(&found, item, times.clone()), rows(&expected, item, times), "item {item}");
        }
        assert!(rows(&found, 2, 0..TIME).iter().all(|&x| x == 0.0), "an item without keys");
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let [q, v] = [TensorDesc::f32([2, 10, 4, 16]), TensorDesc::f32([2, 10, 4, 8])];
    let descs = [q.clone(), q.clone(), v.clone()];
    let elementwise = FeatureMap::Elementwise;
    let specs: [(LinearAttention, ErrorKind, &str); 8] = [
        (
            LinearAttention::new().feature_map(elementwise(Activation::Tanh)),
            ErrorKind::Argument,
            "query's feature map",
        ),
        (
            LinearAttention::new().feature_maps(elementwise(Activation::Relu), elementwise(Activation::Silu)),
            ErrorKind::Argument,
            "key's feature map",
        ),
        (
            LinearAttention::new().feature_map(FeatureMap::SoftmaxOverTime).unnormalised(),
            ErrorKind::Argument,
            "query's feature map",
        ),
        (
            LinearAttention::new().feature_maps(FeatureMap::Given, FeatureMap::SoftmaxOverTime).causal(),
            ErrorKind::Argument,
            "key's feature map",
        ),
        (LinearAttention::new().denominator(Denominator::Plus(-1e-6)), ErrorKind::Argument, "eps"),
        (LinearAttention::new().denominator(Denominator::AtLeast(f32::NAN)), ErrorKind::Argument, "eps"),
        (LinearAttention::new().scale(f32::INFINITY), ErrorKind::Argument, "scale"),
        (LinearAttention::new().chunk(0), ErrorKind::Argument, "chunk"),
    ];
    for (spec, kind, argument) in specs {
        let error = refused(&descs, |graph, x| linear_attention(graph, x[0], x[1], x[2], &spec));
        assert_error(&error, kind, &format!("attention/linear: {argument}"));
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let [q, v] = [TensorDesc::f32([2, 10, 4, 16]), TensorDesc::f32([2, 10, 4, 8])];
    let sums = TensorDesc::f32([2, 4, 16, 8]);
    let with = |key: TensorDesc, extra: &[TensorDesc], spec: fn(&[Value]) -> LinearAttention| {
        let value = TensorDesc::f32([2, key.shape.dims()[1], 4, 8]);
        let descs = [&[q.clone(), key, value], extra].concat();
        refused(&descs, |graph, x| linear_attention(graph, x[0], x[1], x[2], &spec(&x[3..])))
    };
    let state = |x: &[Value]| LinearState { sums: x[0], normalizer: x.get(1).copied() };
    let error = with(TensorDesc::f32([2, 11, 4, 16]), &[], |_| LinearAttention::new().causal());
    assert_error(&error, ErrorKind::Shape, "attention/linear: key");
    let error = with(q.clone(), std::slice::from_ref(&sums), |x| {
        LinearAttention::new().state(LinearState { sums: x[0], normalizer: None })
    });
    assert_error(&error, ErrorKind::Argument, "attention/linear: state.normalizer");
    let normalizer = TensorDesc::f32([2, 4, 8]);
    let descs = [q.clone(), q.clone(), v.clone(), sums.clone(), normalizer];
    let error = refused(&descs, |graph, x| {
        linear_attention(graph, x[0], x[1], x[2], &LinearAttention::new().state(state(&x[3..])))
    });
    assert_error(&error, ErrorKind::Shape, "attention/linear: state.normalizer");
    let descs = [q.clone(), q.clone(), v.clone(), TensorDesc::f16([2, 4, 16, 8])];
    let error = refused(&descs, |graph, x| {
        linear_attention(
            graph,
            x[0],
            x[1],
            x[2],
            &LinearAttention::new().unnormalised().state(state(&x[3..])),
        )
    });
    assert_error(&error, ErrorKind::Dtype, "attention/linear: state.sums");
    let error =
        with(q.clone(), &[TensorDesc::new(DType::I32, [3])], |x| LinearAttention::new().lengths(x[0]));
    assert_error(&error, ErrorKind::Shape, "attention/linear: lengths");
    let error =
        with(q.clone(), &[TensorDesc::new(DType::I32, [2, 9])], |x| LinearAttention::new().segments(x[0]));
    assert_error(&error, ErrorKind::Shape, "attention/linear: segments");
}

#[test]
fn decays_and_the_delta_rule_are_for_rules_with_an_order() {
    let descs = [[2, 10, 4, 16], [2, 10, 4, 16], [2, 10, 4, 8]].map(TensorDesc::f32).to_vec();
    let of = |extra: TensorDesc, spec: &dyn Fn(Value) -> LinearAttention| {
        let descs = [&descs[..], &[extra]].concat();
        refused(&descs, |graph, x| linear_attention(graph, x[0], x[1], x[2], &spec(x[3])))
    };
    let plain = || LinearAttention::new().feature_map(FeatureMap::Given).unnormalised();
    let of_heads = TensorDesc::f32([4]);
    let error = of(of_heads.clone(), &|decay| plain().decay(decay));
    assert_error(&error, ErrorKind::Argument, "attention/linear: log_decay");
    for shape in [vec![2, 9, 4], vec![2, 10, 4, 8], vec![3], vec![2, 10]] {
        let error = of(TensorDesc::f32(shape), &|decay| plain().causal().decay(decay));
        assert_error(&error, ErrorKind::Shape, "attention/linear: log_decay");
    }
    let beta = TensorDesc::f32([2, 10, 4]);
    for spec in [plain(), LinearAttention::new().causal()] {
        let error = of(beta.clone(), &|beta| spec.clone().delta_rule(beta));
        assert_error(&error, ErrorKind::Argument, "attention/linear: beta");
    }
    let error = of(TensorDesc::f32([2, 10, 3]), &|beta| plain().causal().delta_rule(beta));
    assert_error(&error, ErrorKind::Shape, "attention/linear: beta");
    let error = of(TensorDesc::f16([2, 10, 4]), &|beta| plain().causal().delta_rule(beta));
    assert_error(&error, ErrorKind::Dtype, "attention/linear: beta");
    let descs = [&descs[..], &[beta, TensorDesc::f32([2, 10, 4, 8])]].concat();
    let error = refused(&descs, |graph, x| {
        linear_attention(graph, x[0], x[1], x[2], &plain().causal().delta_rule(x[3]).decay(x[4]))
    });
    assert_error(&error, ErrorKind::Shape, "attention/linear: log_decay");
}

#[test]
fn decays_that_grow_and_factors_out_of_range_are_told() {
    let tensor = |elements: &[f32]| HostTensor::f32([elements.len()], elements.to_vec()).unwrap();
    check_log_decay(&tensor(&[0.0, -8.0, -1e30])).unwrap();
    for bad in [1e-6, f32::NAN, f32::NEG_INFINITY] {
        let error = check_log_decay(&tensor(&[-1.0, bad])).unwrap_err();
        assert_error(&error, ErrorKind::Argument, "attention/linear: log_decay");
    }
    check_beta(&tensor(&[0.0, 0.5, 1.0]), 1.0).unwrap();
    check_beta(&tensor(&[2.0]), 2.0).unwrap();
    for bad in [-1e-6, 1.001, f32::NAN] {
        let error = check_beta(&tensor(&[0.5, bad]), 1.0).unwrap_err();
        assert_error(&error, ErrorKind::Argument, "attention/linear: beta");
    }
}

#[test]
fn maps_of_users_need_a_function_a_slope_and_a_promise() {
    let wgsl = "fn bump(x: f32) -> f32 {\n    return x * x;\n}\n";
    let error = CustomFeature::new("bump", "fn bump(x: i32) -> i32 { return x; }", |x| x).unwrap_err();
    assert_error(&error, ErrorKind::Shader, "attention/linear: feature map `bump`");
    let error = CustomFeature::new("1", wgsl, |x| x).unwrap_err();
    assert_error(&error, ErrorKind::Argument, "attention/linear: name of a feature map");
    let bump = CustomFeature::new("bump", wgsl, |x| x * x).unwrap();
    assert_error(
        &bump.clone().with_slope(|x| 2.0 * x).unwrap_err(),
        ErrorKind::Shader,
        "attention/linear: feature map `bump`",
    );
    let descs = [[2, 10, 4, 16], [2, 10, 4, 16], [2, 10, 4, 8]].map(TensorDesc::f32).to_vec();
    let spec = |bump: &CustomFeature| LinearAttention::new().feature_map(FeatureMap::Custom(bump.clone()));
    let error = refused(&descs, |graph, x| linear_attention(graph, x[0], x[1], x[2], &spec(&bump)));
    assert_error(&error, ErrorKind::Argument, "attention/linear: query's feature map");
    let bump = bump.never_negative();
    let error = refused(&descs, |graph, x| {
        let out = linear_attention(graph, x[0], x[1], x[2], &spec(&bump))?;
        let loss = mean_squared_error(graph, out, x[2])?;
        graph.gradients(loss, &[x[0]])?;
        Ok(out)
    });
    assert_error(&error, ErrorKind::NotDifferentiable, "attention/linear: feature map `bump`");
}

#[test]
fn a_map_of_users_is_held_to_its_reference() {
    let wgsl = "fn bell(x: f32) -> f32 {\n    return exp(-x * x);\n}\n\
        fn bell_slope(x: f32) -> f32 {\n    return -2.0 * x * exp(-x * x);\n}\n";
    let slope = |x: f64| -2.0 * x * (-x * x).exp();
    let bell = CustomFeature::new("bell", wgsl, |x| (-x * x).exp()).unwrap();
    compare_custom_feature(context(), &bell).unwrap();
    compare_custom_feature(context(), &bell.clone().with_slope(slope).unwrap()).unwrap();
    let other = CustomFeature::new("bell", wgsl, |x| (-x.abs()).exp()).unwrap();
    for other in [other, bell.with_slope(move |x| -slope(x)).unwrap()] {
        let error = compare_custom_feature(context(), &other).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "reference"));
    }
}

#[test]
fn features_that_cannot_be_made_are_refused() {
    let x = TensorDesc::f32([2, 10, 4, 16]);
    let error = refused(std::slice::from_ref(&x), |graph, x| cosine_features(graph, x[0], 9));
    assert_error(&error, ErrorKind::Argument, "attention/linear: span");
    let descs = [x, TensorDesc::f32([32, 16])];
    for eps in [-1e-4, f32::NAN] {
        let kernel = SoftmaxKernel::new().eps(eps);
        let error =
            refused(&descs, |graph, x| softmax_kernel_features(graph, x[0], x[1], FeaturesOf::Keys, &kernel));
        assert_error(&error, ErrorKind::Argument, "attention/linear: eps");
        let error =
            refused(&descs, |graph, x| generalized_kernel_features(graph, x[0], x[1], Activation::Relu, eps));
        assert_error(&error, ErrorKind::Argument, "attention/linear: eps");
    }
    let error = refused(&[TensorDesc::f32([10, 16])], |graph, x| cosine_features(graph, x[0], 10));
    assert_error(&error, ErrorKind::Shape, "attention/linear: x");
}

/// The denominators of a long text are large, and those of a row that sees nothing are 0.
#[test]
fn rows_without_features_give_0() {
    let mut tensors = tensors(5, 1);
    tensors[0].1 = overwritten(&tensors[0].1, 0, 3..5, -1.0);
    let spec = LinearAttention::new().feature_map(FeatureMap::Elementwise(Activation::Relu));
    for eps in [0.0, 1e-6] {
        let spec = spec.clone().denominator(Denominator::Plus(eps)).causal();
        let graph =
            graph(&tensors, |graph, [q, k, v]| Ok(vec![("out", linear_attention(graph, q, k, v, &spec)?)]));
        let inputs: Vec<(&str, &HostTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
        for found in [outputs(&graph, &tensors), cpu::run(&graph, &inputs).unwrap()] {
            assert!(rows(&found["out"], 0, 3..5).iter().all(|&x| x == 0.0), "eps {eps}");
            assert!(rows(&found["out"], 0, 5..TIME).iter().all(|x| x.is_finite()), "eps {eps}");
        }
    }
}

/// A sum that grew by one key at a time in f32 would be off by 3e-5 here.
#[test]
fn a_million_tokens_do_not_saturate_the_state() {
    const LONG: usize = 1 << 20;
    const CHANNELS: usize = 4;
    let mut source = Random::new(12);
    let mut rows =
        |shift: f32| -> Vec<f32> { (0..LONG * CHANNELS).map(|_| shift + source.next_f32()).collect() };
    let tensors = [("q", rows(0.0)), ("k", rows(0.0)), ("v", rows(1.0))]
        .map(|(name, elements)| (name, HostTensor::f32([1, LONG, 1, CHANNELS], elements).unwrap()));
    let tensors = tensors.to_vec();
    let spec = LinearAttention::new().causal();
    let out = attended(&tensors, &spec).to_f64();
    let [q, k, v] = [0, 1, 2].map(|at| tensors[at].1.to_f64());
    let map = |x: f64| if x > 0.0 { x + 1.0 } else { x.exp() };
    let (mut sums, mut normalizer) = ([[0.0; CHANNELS]; CHANNELS], [0.0; CHANNELS]);
    for t in 0..LONG {
        let row = t * CHANNELS..(t + 1) * CHANNELS;
        for (channel, &k) in k[row.clone()].iter().enumerate() {
            let y = map(k);
            normalizer[channel] += y;
            sums[channel].iter_mut().zip(&v[row.clone()]).for_each(|(sum, v)| *sum += y * v);
        }
        if t % 9973 != 0 && t + 3 < LONG {
            continue;
        }
        let x: Vec<f64> = q[row.clone()].iter().map(|&q| map(q)).collect();
        let denominator: f64 = x.iter().zip(&normalizer).map(|(x, z)| x * z).sum::<f64>() + 1e-6;
        for (value, &found) in out[row].iter().enumerate() {
            let exact = x.iter().zip(&sums).map(|(x, row)| x * row[value]).sum::<f64>() / denominator;
            assert!((found - exact).abs() <= 5e-6 * exact.abs().max(1.0), "token {t}: {found}, not {exact}");
        }
    }
}
