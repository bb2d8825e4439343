//! Rules against outputs and gradients of the dense formula, made outside this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use foveate::check::{Case, Outcome, Problem, conform, exp_ulps, gradient_case};
use foveate::ops::attention::{
    Alignment, BlockLayout, Blocked, Buckets, LogSparse, Mask, Score, alibi_slopes, blocked_with_lse,
    global_tokens,
};
use foveate::{DType, Graph, HostTensor, Value, cpu, ops};

use super::blocked::F32_OF_LARGEST;
use crate::support::fixture::{Fixture, relative_error};
use crate::support::{context, run};

/// A fixture with its rule, whose tensors go by their names in the file.
struct Oracle {
    name: &'static str,
    fixture: Fixture,
    rule: Blocked<&'static str>,
}

fn masked(mask: Mask<&'static str>) -> Blocked<&'static str> {
    Blocked::new().mask(mask)
}

fn causal() -> Blocked<&'static str> {
    masked(Mask::causal())
}

/// Fixtures of what queries see.
fn masks() -> Vec<Oracle> {
    opened([
        ("full", Blocked::new()),
        ("cross", Blocked::new()),
        ("causal", causal()),
        ("causal_bottom_right", causal()),
        ("causal_top_left", masked(Mask::causal().aligned(Alignment::TopLeft))),
        ("decode", causal()),
        ("gqa", causal()),
        ("mqa", Blocked::new()),
        ("window", masked(Mask::window(5, 2))),
        ("window_causal", masked(Mask::causal() & Mask::window(5, 40))),
        ("padding", Blocked::new().lengths("length")),
        ("softcap", causal().softcap(3.0)),
        ("segments", causal().segments("segments")),
        ("dilated", masked(Mask::dilated_window(4, [3]))),
        ("prefix_lm", masked(Mask::causal() | Mask::prefix(9))),
        ("sparse_strided", masked(Mask::strided(8))),
        ("sparse_fixed", masked(Mask::fixed(8, 2))),
        ("log_sparse", masked(Mask::log_sparse(LogSparse::default()))),
        ("longformer", masked(Mask::longformer(4, "globals"))),
        ("arbitrary", masked(Mask::dense("mask"))),
    ])
}

/// Fixtures of what is added to scores.
fn scores() -> Vec<Oracle> {
    let buckets = Buckets { count: 16, max_distance: 20, bidirectional: true };
    opened([
        ("alibi", causal().score(Score::alibi("slopes"))),
        ("bias", Blocked::new().score(Score::bias("bias"))),
        ("t5_bias", Blocked::new().score(Score::buckets("table", buckets))),
        ("gaussian_prior", Blocked::new().score(Score::gaussian("sigma"))),
        ("adaptive_span", masked(Mask::causal() & !Mask::window(0, 0)).score(Score::adaptive_span("z", 8.0))),
        (
            "deberta",
            Blocked::new().score(Score::disentangled(Some("kr"), Some("qr"), 6)).scale(1.0 / 48f32.sqrt()),
        ),
        ("transformer_xl", causal().score(Score::relative_keys("r", Some("u"), Some("w"), 0))),
    ])
}

/// Fixtures of both kinds, whose queries stand where a tensor says: opposite the same keys.
fn placed() -> Vec<Oracle> {
    const NAMES: [&str; 13] = [
        "decode",
        "causal_bottom_right",
        "causal_top_left",
        "gqa",
        "mqa",
        "window",
        "segments",
        "longformer",
        "bigbird_blocks",
        "alibi",
        "t5_bias",
        "deberta",
        "transformer_xl",
    ];
    let mut oracles: Vec<Oracle> =
        masks().into_iter().chain(scores()).filter(|oracle| NAMES.contains(&oracle.name)).collect();
    for oracle in &mut oracles {
        let [batch, query_time] = [0, 1].map(|axis| oracle.fixture.tensor("q").shape().dims()[axis]);
        let key_time = oracle.fixture.tensor("k").shape().dims()[1];
        let start = if oracle.name == "causal_top_left" { 0 } else { key_time - query_time };
        oracle.fixture.insert("start", HostTensor::i32([batch], vec![start as i32; batch]).unwrap());
        oracle.rule = oracle.rule.clone().query_start("start");
    }
    oracles
}

/// Fixtures whose scores have a large number added in one row.
fn row_offsets() -> Vec<Oracle> {
    ["row-offset-1e4", "row-offset-1e9"]
        .map(|name| Oracle {
            name,
            fixture: Fixture::open(&format!("row-offset/{name}.safetensors")),
            rule: Blocked::new().score(Score::bias("b")),
        })
        .into()
}

fn opened(rules: impl IntoIterator<Item = (&'static str, Blocked<&'static str>)>) -> Vec<Oracle> {
    let mut oracles: Vec<Oracle> = rules
        .into_iter()
        .map(|(name, rule)| {
            let fixture = Fixture::open(&format!("attention/{name}.safetensors"));
            let rule = if name == "deberta" { rule } else { rule.scale(fixture.scale()) };
            Oracle { name, fixture, rule }
        })
        .collect();
    for Oracle { name, fixture, .. } in &mut oracles {
        match *name {
            "longformer" => {
                let lists: Vec<Vec<usize>> = rows(fixture.tensor("global"))
                    .iter()
                    .map(|flags| (0..flags.len()).filter(|&at| flags[at] != 0.0).collect())
                    .collect();
                fixture.insert("globals", global_tokens(&lists, 40).unwrap());
            }
            "alibi" => fixture.insert("slopes", HostTensor::f32([4], alibi_slopes(4)).unwrap()),
            _ => {}
        }
    }
    let layout = Fixture::open("attention/bigbird_blocks.safetensors");
    let pairs = layout.tensor("layout").to_f64().iter().map(|&pair| pair != 0.0).collect();
    let rule = masked(Mask::blocks(BlockLayout::new(8, [4, 5, 5], pairs).unwrap())).scale(layout.scale());
    oracles.push(Oracle { name: "bigbird_blocks", fixture: layout, rule });
    oracles
}

/// The elements of each first index.
fn rows(tensor: &HostTensor) -> Vec<Vec<f64>> {
    let width = tensor.shape().dims()[1..].iter().product();
    tensor.to_f64().chunks(width).map(<[f64]>::to_vec).collect()
}

/// Names of what a rule reads, in order.
fn tensors_of(rule: &Blocked<&'static str>) -> Vec<&'static str> {
    let mut names = Vec::new();
    rule.map(|&name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

/// Query, key, value, what the rule reads, and the upstream gradient, those that are multiplied with each other in `dtype`.
fn inputs(oracle: &Oracle, dtype: DType) -> Vec<(&'static str, HostTensor)> {
    let names = ["q", "k", "v"].into_iter().chain(tensors_of(&oracle.rule)).chain(["d_out"]);
    let typed = |name| {
        let tensor = oracle.fixture.tensor(name);
        let is_factor = ["q", "k", "v", "d_out", "kr", "qr", "r", "u", "w", "bias"].contains(&name);
        match is_factor {
            true => HostTensor::from_f32(dtype, tensor.shape().clone(), &tensor.to_f32()).unwrap(),
            false => tensor.clone(),
        }
    };
    names.map(|name| (name, typed(name))).collect()
}

/// `out`, `lse` and the gradients of all float inputs of a fixture's rule, in `dtype`, on the device or on the CPU reference.
fn attend(oracle: &Oracle, dtype: DType, on_device: bool) -> BTreeMap<String, HostTensor> {
    let mut graph = Graph::new();
    let inputs = inputs(oracle, dtype);
    let values: BTreeMap<&str, Value> =
        inputs.iter().map(|(name, tensor)| (*name, graph.input(name, tensor.desc()).unwrap())).collect();
    let spec = oracle.rule.map(|name| values[name]);
    let (out, lse) = blocked_with_lse(&mut graph, values["q"], values["k"], values["v"], &spec).unwrap();
    graph.output("out", out).unwrap();
    graph.output("lse", lse).unwrap();
    let weighted = ops::multiply(&mut graph, out, values["d_out"]).unwrap();
    let weighted =
        if dtype == DType::F16 { ops::cast(&mut graph, weighted, DType::F32).unwrap() } else { weighted };
    let loss = ops::sum(&mut graph, weighted, &[0, 1, 2, 3]).unwrap();
    let loss = ops::reshape(&mut graph, loss, [1]).unwrap();
    let is_float = |(_, tensor): &&(&str, HostTensor)| tensor.dtype() != DType::I32;
    let wrt: Vec<&str> =
        inputs.iter().filter(is_float).map(|(name, _)| *name).filter(|name| *name != "d_out").collect();
    let gradients = graph.gradients(loss, &wrt.iter().map(|name| values[name]).collect::<Vec<_>>()).unwrap();
    for (name, gradient) in wrt.iter().zip(gradients) {
        let name = if ["q", "k", "v"].contains(name) { format!("d{name}") } else { format!("d_{name}") };
        graph.output(&name, gradient).unwrap();
    }
    let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    if on_device { run(&graph, &inputs) } else { cpu::run(&graph, &inputs).unwrap() }
}

#[test]
fn masks_equal_the_dense_formula_and_its_gradients_computed_elsewhere() {
    equal_files(&masks());
}

#[test]
fn scores_equal_the_dense_formula_and_its_gradients_computed_elsewhere() {
    equal_files(&scores());
}

#[test]
fn queries_that_a_tensor_places_equal_the_dense_formula_and_its_gradients_computed_elsewhere() {
    equal_files(&placed());
}

#[test]
fn what_is_added_to_a_row_of_scores_changes_no_weight() {
    equal_files(&row_offsets());
}

fn equal_files(oracles: &[Oracle]) {
    for oracle in oracles {
        let Oracle { name: rule, fixture, .. } = oracle;
        for on_device in [true, false] {
            let outputs = attend(oracle, DType::F32, on_device);
            let compared: Vec<&str> = fixture.names().filter(|name| outputs.contains_key(*name)).collect();
            assert!(compared.len() >= 4, "{rule}: {compared:?}");
            for name in compared {
                let error = relative_error(&outputs[name], fixture.tensor(name));
                assert!(error < F32_OF_LARGEST, "{rule}, {name}, on device: {on_device}: {error:e}");
            }
        }
    }
}

#[test]
fn masks_are_within_the_derived_budget_in_f16() {
    are_within_budget(masks());
}

#[test]
fn scores_are_within_the_derived_budget_in_f16() {
    are_within_budget(scores());
}

fn are_within_budget(oracles: Vec<Oracle>) {
    for oracle in oracles {
        let name = oracle.name;
        // Inputs rounded to f16 move scores by up to 2^-11 of each of their terms.
        let rounded = attend(&oracle, DType::F16, false);
        let error = relative_error(&rounded["out"], oracle.fixture.tensor("out"));
        assert!(error < 8.0 * f64::from(half::f16::EPSILON), "{name}, rounded to f16: {error:e}");

        let build = move |problem: &mut Problem| {
            let mut values = BTreeMap::new();
            for (name, tensor) in inputs(&oracle, DType::F16).into_iter().filter(|(name, _)| *name != "d_out")
            {
                values.insert(name, problem.input(name, tensor)?);
            }
            let spec = oracle.rule.map(|name| values[name]);
            let (out, lse) =
                blocked_with_lse(&mut problem.graph, values["q"], values["k"], values["v"], &spec)?;
            Ok(vec![out, lse])
        };
        // What exponentials may lose above and below the fraction bar, of scores further apart than any fixture's.
        let forward =
            Arc::new(Case::new("attention/blocked", name, build).builtin_ulps(2.0 * exp_ulps(100.0)));
        let backward = gradient_case(&forward).unwrap().expect("every rule is differentiated");
        for case in [&*forward, &backward] {
            let outcome = conform(case, context(), context().caps());
            let has_f16 = context().caps().f16;
            let is_as_it_should = match outcome {
                Outcome::Passed(_) => has_f16,
                Outcome::Unsupported(_) => !has_f16,
                Outcome::Failed(_) => false,
            };
            assert!(is_as_it_should, "{case:?}: {outcome:?}");
        }
    }
}
