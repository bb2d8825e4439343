//! Attention along buckets that are given, beside softmax attention over the same pairs: the buckets sorted here, pair by pair.

use std::collections::BTreeMap;

use foveate::ops::attention::{
    Blocked, Lsh, LshConvention, Mask, Score, blocked, lsh_attention, lsh_attention_apart,
};
use foveate::ops::{RmsNorm, rms_norm};
use foveate::{Graph, HostTensor, Result, Value, cpu};

use super::composed::{HEADS, SIZE, TIME, random};
use super::gradients::gradients_of;
use crate::support::compare::relative_error;
use crate::support::run;

const BATCH: usize = 2;
const ROUNDS: usize = 2;
const CHUNK: usize = 5;
const BUCKETS: u64 = 4;

/// How far kernels in f32 may be off, of a tensor's largest element.
const OF_LARGEST: f64 = 1e-5;

/// A bucket for each position: i32 `[BATCH, HEADS, ROUNDS, TIME]`.
fn buckets(seed: u64) -> HostTensor {
    let mut random = foveate::check::Random::new(seed);
    let ids = (0..BATCH * HEADS * ROUNDS * TIME).map(|_| (random.next_u64() % BUCKETS) as i32);
    HostTensor::i32([BATCH, HEADS, ROUNDS, TIME], ids.collect()).unwrap()
}

/// The chunk of each position of a line of buckets.
fn chunks(buckets: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..TIME).collect();
    order.sort_by_key(|&position| buckets[position] as i64);
    let mut chunks = vec![0; TIME];
    for (slot, position) in order.into_iter().enumerate() {
        chunks[position] = slot / CHUNK;
    }
    chunks
}

/// Which pairs meet, and the logarithm of how often: i32 and f32 `[BATCH, HEADS, TIME, TIME]`.
fn meetings(
    [of_queries, of_keys]: [&HostTensor; 2],
    meet: impl Fn(usize, usize) -> bool,
    shown: impl Fn(usize, usize, usize) -> bool,
) -> [HostTensor; 2] {
    let (own, far) = (of_queries.to_f64(), of_keys.to_f64());
    let mut counts = vec![0_u32; BATCH * HEADS * TIME * TIME];
    for (line, (own, far)) in own.chunks(TIME).zip(far.chunks(TIME)).enumerate() {
        let (own, far) = (chunks(own), chunks(far));
        for (query, key) in (0..TIME).flat_map(|query| (0..TIME).map(move |key| (query, key))) {
            if meet(own[query], far[key]) && shown(line / ROUNDS / HEADS, query, key) {
                counts[(line / ROUNDS * TIME + query) * TIME + key] += 1;
            }
        }
    }
    let shape = [BATCH, HEADS, TIME, TIME];
    let seen = counts.iter().map(|&count| i32::from(count > 0)).collect();
    let often = counts.iter().map(|&count| (count.max(1) as f32).ln()).collect();
    [HostTensor::i32(shape, seen).unwrap(), HostTensor::f32(shape, often).unwrap()]
}

/// Names of inputs, each with what it holds.
type Inputs<'t> = Vec<(&'static str, &'t HostTensor)>;

/// The graph of what `record` makes of inputs, and of the gradients of those called `wrt`, from that of `out` called `d_out`.
fn graph(
    inputs: &Inputs<'_>,
    wrt: &[&str],
    record: impl Fn(&mut Graph, &BTreeMap<&str, Value>) -> Result<Value>,
) -> Graph {
    let mut graph = Graph::new();
    let values: BTreeMap<&str, Value> =
        inputs.iter().map(|(name, tensor)| (*name, graph.input(name, tensor.desc()).unwrap())).collect();
    let out = record(&mut graph, &values).unwrap();
    let of: Vec<Value> = wrt.iter().map(|name| values[name]).collect();
    let gradients = gradients_of(&mut graph, (out, values["d_out"]), &of);
    graph.output("out", out).unwrap();
    for (name, gradient) in wrt.iter().zip(gradients) {
        graph.output(&format!("gradient of {name}"), gradient).unwrap();
    }
    graph
}

/// Fails unless the reference and the device give what softmax attention over pairs, `expected`, gives on the reference.
fn assert_same(what: &str, inputs: &Inputs<'_>, found: &Graph, expected: &Graph) {
    let expected = cpu::run(expected, inputs).unwrap();
    for (place, found) in [("reference", cpu::run(found, inputs).unwrap()), ("device", run(found, inputs))] {
        for (name, expected) in &expected {
            let error = relative_error(&found[name], expected);
            assert!(error <= OF_LARGEST, "{what}, {place}: {name} is off by {error:e} of its largest");
        }
    }
}

fn tensors() -> [HostTensor; 4] {
    [70, 71, 72, 73].map(|seed| random(seed, &[BATCH, TIME, HEADS, SIZE]))
}

/// Keys of their own: a query sees those of the chunk of its rank, and of the one before, as often as they meet in all rounds.
#[test]
fn chunks_of_queries_see_chunks_of_keys_of_their_rank() {
    let [query, key, value, d_out] = &tensors();
    let (own, far) = (&buckets(80), &buckets(81));
    let lengths = &HostTensor::i32([BATCH], vec![TIME as i32, 13]).unwrap();
    for (is_causal, is_padded) in [(false, false), (true, false), (false, true), (true, true)] {
        let shown = |item: usize, query: usize, key: usize| {
            (!is_causal || key <= query) && (!is_padded || item == 0 || key < 13)
        };
        let [seen, often] = &meetings([own, far], |own, far| own == far || own == far + 1, shown);
        let inputs: Inputs<'_> = vec![
            ("query", query),
            ("key", key),
            ("value", value),
            ("d_out", d_out),
            ("own", own),
            ("far", far),
            ("lengths", lengths),
            ("seen", seen),
            ("often", often),
        ];
        let wrt = ["query", "key", "value"];
        let found = graph(&inputs, &wrt, |graph, v| {
            let mut spec = Lsh::new(CHUNK);
            if is_causal {
                spec = spec.causal();
            }
            if is_padded {
                spec = spec.lengths(v["lengths"]);
            }
            let buckets = Some([v["own"], v["far"]]);
            Ok(lsh_attention_apart(graph, [v["query"], v["key"], v["value"]], buckets, &spec)?.out)
        });
        let expected = graph(&inputs, &wrt, |graph, v| {
            let spec = Blocked::new().mask(Mask::dense(v["seen"])).score(Score::bias(v["often"]));
            blocked(graph, v["query"], v["key"], v["value"], &spec)
        });
        assert_same(&format!("causal {is_causal}, padded {is_padded}"), &inputs, &found, &expected);
    }
}

/// Of one bucket, whose tokens all see each other, it is softmax attention with queries as keys, in which a token sees itself only where it sees
/// nothing else.
#[test]
fn one_bucket_is_attention_with_queries_as_keys() {
    let [query, _, value, d_out] = &tensors();
    let buckets = &HostTensor::i32([BATCH, HEADS, 1, TIME], vec![0; BATCH * HEADS * TIME]).unwrap();
    let itself: Vec<f32> =
        (0..TIME * TIME).map(|at| if at / TIME == at % TIME { -1e5 } else { 0.0 }).collect();
    let itself = &HostTensor::f32([1, 1, TIME, TIME], itself).unwrap();
    let ones = &HostTensor::f32([SIZE], vec![1.0; SIZE]).unwrap();
    let inputs: Inputs<'_> = vec![
        ("query", query),
        ("value", value),
        ("d_out", d_out),
        ("buckets", buckets),
        ("itself", itself),
        ("ones", ones),
    ];
    for is_causal in [false, true] {
        let around = TIME.div_ceil(CHUNK);
        let found = graph(&inputs, &["query", "value"], |graph, v| {
            let spec = Lsh::new(CHUNK).around(around, around).same_bucket().convention(LshConvention::Stop);
            let spec = if is_causal { spec.causal() } else { spec };
            Ok(lsh_attention(graph, v["query"], v["value"], Some(v["buckets"]), &spec)?.out)
        });
        let expected = graph(&inputs, &["query", "value"], |graph, v| {
            let key = rms_norm(graph, v["query"], v["ones"], &RmsNorm::new(1e-6))?;
            let mask = if is_causal { Mask::causal() } else { Mask::full() };
            let spec = Blocked::new().mask(mask).score(Score::bias(v["itself"]));
            blocked(graph, v["query"], key, v["value"], &spec)
        });
        assert_same(&format!("causal {is_causal}"), &inputs, &found, &expected);
    }
}
