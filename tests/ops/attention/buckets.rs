//! Attention along buckets that are given, beside softmax attention over the same pairs: the buckets sorted here, pair by pair.

use std::collections::BTreeMap;

use foveate::gpu::Program;
use foveate::ops::attention::{
    Blocked, Lsh, LshConvention, Mask, Score, blocked, lsh_attention, lsh_attention_with_keys,
};
use foveate::ops::{RmsNorm, rms_norm};
use foveate::{Graph, HostTensor, Plan, Result, Value, cpu};

use super::composed::{HEADS, SIZE, TIME, random};
use super::gradients::gradients_of;
use crate::support::compare::relative_error;
use crate::support::{context, own_caps};

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

/// A chunk of a round: its round, and its number there.
type Chunk = [usize; 2];

/// Which pairs are shown and meet, in whichever rounds, and the logarithm of how often: i32 and f32 `[BATCH, HEADS, TIME, TIME]`.
fn meetings(
    [of_queries, of_keys]: [&HostTensor; 2],
    meet: impl Fn(Chunk, Chunk) -> usize,
    shown: impl Fn(usize, usize, usize) -> bool,
) -> [HostTensor; 2] {
    let lines =
        |buckets: &HostTensor| -> Vec<Vec<usize>> { buckets.to_f64().chunks(TIME).map(chunks).collect() };
    let (own, far) = (lines(of_queries), lines(of_keys));
    let count = |line: usize, query: usize, key: usize| -> usize {
        let rounds = (0..ROUNDS).flat_map(|round| (0..ROUNDS).map(move |other| (round, other)));
        let pairs = rounds.map(|(round, other)| {
            [[round, own[line * ROUNDS + round][query]], [other, far[line * ROUNDS + other][key]]]
        });
        pairs.map(|[own, far]| meet(own, far)).sum()
    };
    let (mut seen, mut often) = (Vec::new(), Vec::new());
    for at in 0..BATCH * HEADS * TIME * TIME {
        let (line, query, key) = (at / TIME / TIME, at / TIME % TIME, at % TIME);
        let count = if shown(line / HEADS, query, key) { count(line, query, key) } else { 0 };
        seen.push(i32::from(count > 0));
        often.push((count.max(1) as f32).ln());
    }
    let shape = [BATCH, HEADS, TIME, TIME];
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

/// What the device gives, in tiles that compile in a third of the time.
fn on_device(graph: &Graph, inputs: &Inputs<'_>) -> BTreeMap<String, HostTensor> {
    let mut caps = own_caps();
    let tile = &mut caps.tuning.attention;
    (tile.rows, tile.key_vectors, tile.backward_key_vectors) = (tile.rows.min(4), 1, 1);
    let program = Program::new(context(), &Plan::new(graph, &caps).unwrap()).unwrap();
    program.run(inputs).unwrap()
}

/// Fails unless `found` gives what softmax attention over pairs, `expected`, gives on the reference: there, and on the device where `is_run`.
fn assert_same(what: &str, inputs: &Inputs<'_>, [found, expected]: [&Graph; 2], is_run: bool) {
    let expected = cpu::run(expected, inputs).unwrap();
    let mut places = vec![("reference", cpu::run(found, inputs).unwrap())];
    if is_run {
        places.push(("device", on_device(found, inputs)));
    }
    for (place, found) in places {
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
        let meet = |[round, own]: Chunk, [other, far]: Chunk| {
            usize::from(round == other && (own == far || own == far + 1))
        };
        let [seen, often] = &meetings([own, far], meet, shown);
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
            Ok(lsh_attention_with_keys(graph, [v["query"], v["key"], v["value"]], buckets, &spec)?.out)
        });
        let expected = graph(&inputs, &wrt, |graph, v| {
            let spec = Blocked::new().mask(Mask::dense(v["seen"])).score(Score::bias(v["often"]));
            blocked(graph, v["query"], v["key"], v["value"], &spec)
        });
        let what = format!("causal {is_causal}, padded {is_padded}");
        assert_same(&what, &inputs, [&found, &expected], is_causal && is_padded);
    }
}

/// In a ring of the chunks of all rounds, a pair counts as often as it meets, or once.
#[test]
fn pairs_meet_round_a_ring() {
    let [query, _, value, d_out] = &tensors();
    let buckets = &buckets(82);
    let of_round = TIME.div_ceil(CHUNK) as i64;
    let ring = of_round * ROUNDS as i64;
    let meet = |[round, own]: Chunk, [other, far]: Chunk| {
        let apart = (other as i64 - round as i64) * of_round + far as i64 - own as i64;
        [-ring, 0, ring].into_iter().filter(|turn| (-2..=1).contains(&(apart + turn))).count()
    };
    let [seen, often] = &meetings([buckets; 2], meet, |_, _, _| true);
    let ones = &HostTensor::f32([SIZE], vec![1.0; SIZE]).unwrap();
    for counts_once in [false, true] {
        let itself = |at: usize| if at / TIME % TIME == at % TIME { -1e5 } else { 0.0 };
        let often = often.to_f32().into_iter().enumerate();
        let added = often.map(|(at, often)| itself(at) + if counts_once { 0.0 } else { often });
        let added = &HostTensor::f32([BATCH, HEADS, TIME, TIME], added.collect()).unwrap();
        let inputs: Inputs<'_> = vec![
            ("query", query),
            ("value", value),
            ("d_out", d_out),
            ("buckets", buckets),
            ("seen", seen),
            ("added", added),
            ("ones", ones),
        ];
        let found = graph(&inputs, &["query", "value"], |graph, v| {
            let spec = Lsh::new(CHUNK).around(2, 1).convention(LshConvention::HuggingFace);
            let spec = if counts_once { spec.deduplicated() } else { spec };
            Ok(lsh_attention(graph, v["query"], v["value"], Some(v["buckets"]), &spec)?.out)
        });
        let expected = graph(&inputs, &["query", "value"], |graph, v| {
            let key = rms_norm(graph, v["query"], v["ones"], &RmsNorm::new(1e-6))?;
            let spec = Blocked::new().mask(Mask::dense(v["seen"])).score(Score::bias(v["added"]));
            blocked(graph, v["query"], key, v["value"], &spec)
        });
        assert_same(&format!("once {counts_once}"), &inputs, [&found, &expected], counts_once);
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
        assert_same(&format!("causal {is_causal}"), &inputs, [&found, &expected], is_causal);
    }
}
