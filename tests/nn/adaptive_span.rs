use foveate::nn::{AdaptiveSpan, AdaptiveSpanAttention};
use foveate::weights::Declarations;
use foveate::{Graph, HostTensor, TensorDesc, cpu};

use super::dense::{Pair, attend, dot, head, joined, linear, score};
use super::support::{Tensors, Trial, Values, assert_causal, assert_near, positions, random};
use super::{BATCH, HEAD_SIZE, HEADS, TIME, WIDTH};

const SPEC: AdaptiveSpan = AdaptiveSpan { max_span: 17, ramp: 4.0 };
const MEMORY: usize = 9;
const SHARES: &str = "attn.adaptive_span._mask.current_val";

fn layer() -> (Declarations, AdaptiveSpanAttention) {
    let mut declarations = Declarations::new();
    let layer = AdaptiveSpanAttention::declare(&mut declarations.root(), WIDTH, HEADS, SPEC).unwrap();
    (declarations, layer)
}

/// One head looks nowhere but along its ramp, one over all of the largest span.
fn trial(declarations: &Declarations, inputs: &[(&'static str, HostTensor)]) -> Trial {
    let shares = HostTensor::f32([HEADS, 1, 1], vec![0.03, 0.21, 0.66, 0.98]).unwrap();
    Trial::new(declarations, inputs).with(SHARES, shares)
}

fn x() -> (&'static str, HostTensor) {
    ("x", random("x", &[BATCH, TIME, WIDTH], 1.0))
}

fn memory() -> (&'static str, HostTensor) {
    ("memory", random("memory", &[BATCH, MEMORY, WIDTH], 1.0))
}

/// `AdaptiveMask.forward` and `SeqAttention.forward` of the authors' code: the mask's place 0 is the key before the query.
fn dense(tensors: &Tensors, memory: usize) -> Vec<f64> {
    let span = SPEC.max_span as usize;
    let x = &tensors["x"];
    let none = Vec::new();
    let seen = joined(tensors.get("memory").unwrap_or(&none), x, BATCH);
    let query = linear(x, tensors, "proj_query", WIDTH);
    let [key, value] = ["proj_key", "proj_val"].map(|name| linear(&seen, tensors, name, WIDTH));
    let times = [TIME, TIME + memory];
    let gathered = attend([BATCH, times[0], times[1]], &value, |pair| {
        let Pair { batch, head: of, query: i, key: j } = pair;
        let at = i + memory;
        if j >= at || at - j > span {
            return (0.0, 0.0);
        }
        let place = at - j - 1;
        let share = tensors[SHARES][of];
        let mask = ((share * span as f64 - place as f64) / f64::from(SPEC.ramp) + 1.0).clamp(0.0, 1.0);
        let mut total = score(&query, &key, times, pair);
        if let Some(positions) = tensors.get("positions") {
            let position = &positions[place * HEAD_SIZE..(place + 1) * HEAD_SIZE];
            total += dot(head(&query, TIME, batch, i, of), position) / (HEAD_SIZE as f64).sqrt();
        }
        (total, mask)
    });
    linear(&gathered, tensors, "proj_out", WIDTH)
}

#[test]
fn equals_masked_attention_with_memory_and_positions() {
    let (declarations, layer) = layer();
    let positions = ("positions", random("positions", &[SPEC.max_span as usize, HEAD_SIZE], 1.0));
    let trial = trial(&declarations, &[x(), memory(), positions]).constant("memory");
    let record = |graph: &mut Graph, values: &Values| {
        layer.record(graph, values["x"], Some(values["memory"]), Some(values["positions"]))
    };
    trial.check(&record, &|tensors| dense(tensors, MEMORY));
}

#[test]
fn the_first_position_without_memory_sees_nothing() {
    let (declarations, layer) = layer();
    let trial = trial(&declarations, &[x()]);
    let record = |graph: &mut Graph, values: &Values| layer.record(graph, values["x"], None, None);
    trial.check_reference(&record, &|tensors| dense(tensors, 0));
    assert_eq!(positions(&trial.run(&record), 0..1), [0.0; BATCH * WIDTH]);
    assert_causal(trial, &record);
}

#[test]
fn a_sequence_may_start_with_one_position() {
    let (declarations, layer) = layer();
    let trial = trial(&declarations, &[("x", random("x", &[BATCH, 1, WIDTH], 1.0))]);
    let found = trial.run(&|graph: &mut Graph, values: &Values| layer.record(graph, values["x"], None, None));
    assert_eq!(found.to_f32(), [0.0; BATCH * WIDTH]);
}

#[test]
fn with_memory_it_goes_on_as_in_one_pass() {
    let (declarations, layer) = layer();
    let split = trial(&declarations, &[x(), memory()]);
    let found = split.run(&|graph: &mut Graph, values: &Values| {
        layer.record(graph, values["x"], Some(values["memory"]), None)
    });
    let all: Vec<f32> =
        joined(&memory().1.to_f64(), &x().1.to_f64(), BATCH).iter().map(|x| *x as f32).collect();
    let all = HostTensor::f32([BATCH, MEMORY + TIME, WIDTH], all).unwrap();
    let whole = trial(&declarations, &[("x", all)])
        .run(&|graph: &mut Graph, values: &Values| layer.record(graph, values["x"], None, None));
    assert_near("segments", &found.to_f64(), &positions(&whole, MEMORY..MEMORY + TIME), 1e-6);
}

#[test]
fn the_loss_is_the_mean_span_and_shares_are_kept_in_range() {
    let (declarations, layer) = layer();
    let trial = trial(&declarations, &[x()]);
    let loss = trial.run(&|graph: &mut Graph, _: &Values| layer.span_loss(graph, 2e-3));
    let expected = 2e-3 * 17.0 * (0.03 + 0.21 + 0.66 + 0.98) / 4.0;
    assert_near("loss", &loss.to_f64(), &[expected], 1e-6);

    let mut graph = Graph::new();
    let shares = graph.input("shares", TensorDesc::f32([5])).unwrap();
    let clamped = AdaptiveSpanAttention::clamped(&mut graph, shares).unwrap();
    graph.output("clamped", clamped).unwrap();
    let shares = HostTensor::f32([5], vec![-0.5, 0.0, 0.25, 1.0, 1.7]).unwrap();
    let clamped = cpu::run(&graph, &[("shares", &shares)]).unwrap();
    assert_eq!(clamped["clamped"].to_f32(), [0.0, 0.0, 0.25, 1.0, 1.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_, layer) = layer();
    let refused = |memory: TensorDesc, positions: TensorDesc| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([BATCH, TIME, WIDTH])).unwrap();
        let memory = graph.input("memory", memory).unwrap();
        let positions = graph.input("positions", positions).unwrap();
        layer.record(&mut graph, x, Some(memory), Some(positions)).unwrap_err().to_string()
    };
    let (memory, positions) = (TensorDesc::f32([BATCH, 3, WIDTH]), TensorDesc::f32([17, HEAD_SIZE]));
    assert_eq!(
        refused(TensorDesc::f16([BATCH, 3, WIDTH]), positions),
        "self-attention: memory: expected f32 [2, any, 32] as x has it, found f16 [2, 3, 32]"
    );
    assert_eq!(
        refused(memory, TensorDesc::f32([18, HEAD_SIZE])),
        "self-attention: positions: expected f32 [17, 8], found f32 [18, 8]"
    );
}

#[test]
fn a_span_of_nothing_is_refused() {
    let mut declarations = Declarations::new();
    let spec = AdaptiveSpan { max_span: 0, ..SPEC };
    let error = AdaptiveSpanAttention::declare(&mut declarations.root(), WIDTH, HEADS, spec).unwrap_err();
    assert_eq!(error.to_string(), "self-attention: max_span: expected at least 1, found 0");
}
