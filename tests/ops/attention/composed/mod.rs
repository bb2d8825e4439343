//! Mechanisms that are put together from other ops: what padding, other items and later tokens must not change, settings that make them exact
//! attention, and what means nothing. On the references: `tests/oracles` holds devices to numbers that were computed elsewhere.

mod f16;
mod padding;
mod refused;
mod talking;

use foveate::check::Random;
use foveate::ops::attention::{
    Blocked, Clustered, Compression, Linformer, LloydClusters, Lsh, Mask, MemoryCompressed, Nystrom,
    PreviousScores, Scored, Segments, Simplex, Slots, TalkingHeads, blocked, clustered, head_similarity,
    linformer, lloyd_clusters, lsh_attention, lsh_attention_with_keys, lsh_buckets, lsh_rotations,
    memory_compressed, nystrom, persistent_memory, position_similarity, prior_attention, residual_attention,
    route_heads, sparse_attention, talking_heads, top_k_attention,
};
use foveate::{DType, ErrorKind, Graph, HostTensor, Result, TensorDesc, Value, cpu, ops};

pub(super) const TIME: usize = 23;
pub(super) const HEADS: usize = 2;
pub(super) const SIZE: usize = 8;
pub(super) const COUNT: usize = 5;
const RATIO: usize = 3;

/// Sums in another order, and results in f32.
const F32: f32 = 1e-6;

pub(super) fn random(seed: u64, shape: &[usize]) -> HostTensor {
    let mut random = Random::new(seed);
    HostTensor::f32(shape, (0..shape.iter().product()).map(|_| random.next_f32()).collect()).unwrap()
}

fn converted(tensor: &HostTensor, dtype: DType) -> HostTensor {
    HostTensor::from_f32(dtype, tensor.shape().clone(), &tensor.to_f32()).unwrap()
}

/// A graph under way, with what its inputs hold, and the type of weights.
pub(super) struct Problem {
    pub(super) graph: Graph,
    inputs: Vec<(String, HostTensor)>,
    dtype: DType,
}

impl Default for Problem {
    fn default() -> Self {
        Self::new(DType::F32)
    }
}

impl Problem {
    fn new(dtype: DType) -> Self {
        Self { graph: Graph::default(), inputs: Vec::new(), dtype }
    }

    fn weight(&mut self, seed: u64, shape: &[usize]) -> Value {
        self.input(converted(&random(seed, shape), self.dtype))
    }

    pub(super) fn input(&mut self, tensor: HostTensor) -> Value {
        let name = format!("in {}", self.inputs.len());
        let value = self.graph.input(&name, tensor.desc()).unwrap();
        self.inputs.push((name, tensor));
        value
    }

    /// What `values` hold on the references: in f64, or in f32 and with every step's result rounded to its type where that is f16.
    pub(super) fn run(mut self, values: &[Value]) -> Vec<Vec<f32>> {
        for (at, value) in values.iter().enumerate() {
            self.graph.output(&format!("out {at}"), *value).unwrap();
        }
        let inputs: Vec<(&str, &HostTensor)> =
            self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let outputs = match self.dtype {
            DType::F16 => cpu::run_f32(&self.graph, &cpu::Parameters::default(), &inputs),
            _ => cpu::run(&self.graph, &inputs),
        };
        let outputs = outputs.unwrap();
        (0..values.len()).map(|at| outputs[&format!("out {at}")].to_f32()).collect()
    }
}

/// How a mechanism is recorded over query, key and value, with lengths where there are some.
type Record = fn(&mut Problem, [Value; 3], Option<Value>) -> Result<Value>;

fn projected(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let projections = [1, 2].map(|seed| problem.weight(seed, &[HEADS, COUNT, TIME + 4]));
    let spec = lengths.map_or(Linformer::new(), |lengths| Linformer::new().lengths(lengths));
    linformer(&mut problem.graph, q, k, v, projections, &spec)
}

fn through_landmarks(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let spec = Nystrom::new(COUNT).convolution(problem.weight(3, &[HEADS, 3]));
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    nystrom(&mut problem.graph, q, k, v, &spec)
}

fn compression(problem: &mut Problem, seed: u64) -> Compression {
    let weight = problem.weight(seed, &[HEADS, SIZE, SIZE, RATIO]);
    Compression { weight, bias: problem.weight(seed + 1, &[HEADS, SIZE]) }
}

fn in_slots(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let compressions = [4, 6].map(|seed| compression(problem, seed));
    let spec = MemoryCompressed::new().slots(Slots::FromStart);
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    memory_compressed(&mut problem.graph, q, k, v, compressions, &spec)
}

fn in_slots_behind_a_null_key(
    problem: &mut Problem,
    [q, k, v]: [Value; 3],
    lengths: Option<Value>,
) -> Result<Value> {
    let compressions = [4, 6].map(|seed| compression(problem, seed));
    let [key, value] = [8, 9].map(|seed| problem.weight(seed, &[HEADS, SIZE]));
    let spec = MemoryCompressed::new().slots(Slots::FromStart).null(key, value);
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    memory_compressed(&mut problem.graph, q, k, v, compressions, &spec)
}

fn in_slots_before(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let compressions = [4, 6].map(|seed| compression(problem, seed));
    let [key, value] = [8, 9].map(|seed| problem.weight(seed, &[HEADS, SIZE]));
    let spec = MemoryCompressed::new().slots(Slots::FromStart).causal().null(key, value);
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    memory_compressed(&mut problem.graph, q, k, v, compressions, &spec)
}

fn persistent(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let persistent = [10, 11].map(|seed| problem.weight(seed, &[HEADS, COUNT, SIZE]));
    let spec = Blocked::new().mask(Mask::causal());
    let spec = lengths.map_or(spec.clone(), |lengths| spec.lengths(lengths));
    persistent_memory(&mut problem.graph, q, k, v, persistent, &spec)
}

fn mixing(problem: &mut Problem) -> [Value; 2] {
    [12, 13].map(|seed| problem.weight(seed, &[HEADS, HEADS]))
}

fn talking(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let mixing = mixing(problem);
    let spec = TalkingHeads::new().causal();
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    talking_heads(&mut problem.graph, q, k, v, mixing, &spec)
}

fn talking_by_stored(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let mixing = mixing(problem);
    let spec = TalkingHeads::new().causal().storing_scores();
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    talking_heads(&mut problem.graph, q, k, v, mixing, &spec)
}

fn by_cluster(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let graph = &mut problem.graph;
    let clusters =
        lloyd_clusters(graph, q, lengths, &LloydClusters { bits: 16, ..LloydClusters::new(COUNT) })?;
    let spec = lengths.map_or(Clustered::new(COUNT), |lengths| Clustered::new(COUNT).lengths(lengths));
    clustered(graph, q, k, v, clusters, &spec)
}

fn by_cluster_improved(
    problem: &mut Problem,
    [q, k, v]: [Value; 3],
    lengths: Option<Value>,
) -> Result<Value> {
    let graph = &mut problem.graph;
    let clusters =
        lloyd_clusters(graph, q, lengths, &LloydClusters { bits: 16, ..LloydClusters::new(COUNT) })?;
    let spec = Clustered::new(COUNT).improved(4);
    let spec = lengths.map_or(spec, |lengths| spec.lengths(lengths));
    clustered(graph, q, k, v, clusters, &spec)
}

/// Three layers of the same query, key and value.
fn residual(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let spec = Blocked::new().mask(Mask::causal());
    let spec = lengths.map_or(spec.clone(), |lengths| spec.lengths(lengths));
    let (mut x, mut previous) = (v, PreviousScores::none());
    for _ in 0..3 {
        (x, previous) = residual_attention(&mut problem.graph, q, k, x, &previous, &spec)?;
    }
    Ok(x)
}

/// Buckets found with 3 rounds of rotations; keys, which it has none of, are a part of values.
fn hashed(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let v = ops::add(&mut problem.graph, v, k)?;
    let spec = lengths.map_or(Lsh::new(COUNT), |lengths| Lsh::new(COUNT).lengths(lengths)).around(1, 1);
    let time = problem.graph.desc(q)?.shape.dims()[1];
    let buckets = match spec.hashes(time) {
        false => None,
        true => {
            let rotations = problem.input(lsh_rotations([HEADS, SIZE, 3], &[4], 14)?);
            Some(lsh_buckets(&mut problem.graph, q, rotations, &[4], &spec)?)
        }
    };
    Ok(lsh_attention(&mut problem.graph, q, v, buckets, &spec)?.out)
}

/// Buckets of queries and of keys, found with 3 rounds of the same rotations.
fn hashed_apart(problem: &mut Problem, qkv: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    let spec = lengths.map_or(Lsh::new(COUNT), |lengths| Lsh::new(COUNT).lengths(lengths)).around(1, 1);
    let [q, k, _] = qkv;
    let buckets = match spec.hashes(problem.graph.desc(q)?.shape.dims()[1]) {
        false => None,
        true => {
            let rotations = problem.input(lsh_rotations([HEADS, SIZE, 3], &[4], 14)?);
            let of_queries = lsh_buckets(&mut problem.graph, q, rotations, &[4], &spec)?;
            Some([of_queries, lsh_buckets(&mut problem.graph, k, rotations, &[4], &spec)?])
        }
    };
    Ok(lsh_attention_with_keys(&mut problem.graph, qkv, buckets, &spec)?.out)
}

fn scored(lengths: Option<Value>) -> Scored {
    lengths.map_or(Scored::new(), |lengths| Scored::new().lengths(lengths))
}

fn highest(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    Ok(top_k_attention(&mut problem.graph, q, k, v, 4, &scored(lengths))?.out)
}

fn highest_before(problem: &mut Problem, [q, k, v]: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    Ok(top_k_attention(&mut problem.graph, q, k, v, 4, &scored(lengths).causal())?.out)
}

/// Sparsemax and 1.5-entmax, added.
fn on_both_simplices(problem: &mut Problem, [q, k, v]: [Value; 3], spec: &Scored) -> Result<Value> {
    let [first, second] = [Simplex::Sparsemax, Simplex::Entmax15].map(|simplex| {
        sparse_attention(&mut problem.graph, q, k, v, simplex, spec).map(|attended| attended.out)
    });
    ops::add(&mut problem.graph, first?, second?)
}

fn on_the_simplex(problem: &mut Problem, qkv: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    on_both_simplices(problem, qkv, &scored(lengths))
}

fn on_the_simplex_before(problem: &mut Problem, qkv: [Value; 3], lengths: Option<Value>) -> Result<Value> {
    on_both_simplices(problem, qkv, &scored(lengths).causal())
}

const ALL: &[(&str, Record)] = &[
    ("lsh_attention", hashed),
    ("lsh_attention_with_keys", hashed_apart),
    ("top_k_attention", highest),
    ("top_k_attention, causal", highest_before),
    ("sparse_attention", on_the_simplex),
    ("sparse_attention, causal", on_the_simplex_before),
    ("linformer", projected),
    ("nystrom", through_landmarks),
    ("memory_compressed", in_slots),
    ("memory_compressed, null key", in_slots_behind_a_null_key),
    ("memory_compressed, causal", in_slots_before),
    ("persistent_memory", persistent),
    ("talking_heads", talking),
    ("talking_heads, stored", talking_by_stored),
    ("clustered", by_cluster),
    ("clustered, improved", by_cluster_improved),
    ("residual_attention", residual),
];

/// Query, key and value of `[batch, TIME]`.
pub(super) fn qkv(batch: usize) -> [HostTensor; 3] {
    [20, 21, 22].map(|seed| random(seed, &[batch, TIME, HEADS, SIZE]))
}

/// The rows of an item from the first on.
fn rows(tensor: &HostTensor, item: usize, count: usize) -> Vec<f32> {
    let width = HEADS * SIZE;
    tensor.to_f32()[item * TIME * width..(item * TIME + count) * width].to_vec()
}

/// `tensor` with `value` in an item's rows from `first` on.
fn from_on(tensor: &HostTensor, item: usize, first: usize, value: f32) -> HostTensor {
    let width = HEADS * SIZE;
    let mut floats = tensor.to_f32();
    floats[(item * TIME + first) * width..(item + 1) * TIME * width].fill(value);
    HostTensor::f32(tensor.shape().clone(), floats).unwrap()
}

fn attended(record: Record, qkv: &[HostTensor; 3], lengths: Option<&[i32]>) -> Vec<f32> {
    let mut problem = Problem::default();
    let values = qkv.each_ref().map(|tensor| problem.input(tensor.clone()));
    let lengths =
        lengths.map(|lengths| problem.input(HostTensor::i32([lengths.len()], lengths.to_vec()).unwrap()));
    let out = record(&mut problem, values, lengths).unwrap();
    problem.run(&[out]).remove(0)
}

pub(super) fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Written so that a NaN fails.
        let is_near = (found - expected).abs() <= F32 * (1.0 + expected.abs());
        assert!(is_near, "{what}, element {at}: found {found}, expected {expected}");
    }
}

#[test]
fn what_comes_later_changes_nothing_of_what_was_before() {
    let is_causal = [
        "memory_compressed, causal",
        "persistent_memory",
        "top_k_attention, causal",
        "sparse_attention, causal",
        "talking_heads",
        "talking_heads, stored",
        "residual_attention",
    ];
    let width = HEADS * SIZE;
    for (name, record) in ALL.iter().filter(|(name, _)| is_causal.contains(name)) {
        let tensors = qkv(1);
        let before = attended(*record, &tensors, None);
        for first in [1, 11, 20] {
            let moved = tensors.each_ref().map(|tensor| from_on(tensor, 0, first, 2.0));
            let after = attended(*record, &moved, None);
            assert_near(
                &format!("{name}, from {first} on"),
                &after[..first * width],
                &before[..first * width],
            );
            assert_ne!(after[first * width..], before[first * width..], "{name}");
        }
    }
}

/// `record` against softmax attention.
fn assert_exact(what: &str, record: impl FnOnce(&mut Problem, [Value; 3]) -> Result<Value>) {
    let mut problem = Problem::default();
    let [q, k, v] = qkv(2).map(|tensor| problem.input(tensor));
    let found = record(&mut problem, [q, k, v]).unwrap();
    let expected = blocked(&mut problem.graph, q, k, v, &Blocked::new()).unwrap();
    let results = problem.run(&[found, expected]);
    assert_near(what, &results[0], &results[1]);
}

fn identity(shape: &[usize], is_one: impl Fn(usize) -> bool) -> HostTensor {
    let elements = (0..shape.iter().product()).map(|at| f32::from(is_one(at))).collect();
    HostTensor::f32(shape, elements).unwrap()
}

#[test]
fn with_nothing_left_out_all_are_exact_attention() {
    let square = |size: usize| identity(&[size, size], move |at| at / size == at % size);
    assert_exact("as many landmarks as positions", |problem, [q, k, v]| {
        nystrom(&mut problem.graph, q, k, v, &Nystrom::new(TIME))
    });
    assert_exact("a projection that changes nothing", |problem, [q, k, v]| {
        let projection = problem.input(square(TIME));
        linformer(&mut problem.graph, q, k, v, [projection; 2], &Linformer::new())
    });
    assert_exact("slots of one key", |problem, [q, k, v]| {
        let size = SIZE;
        let weight = identity(&[HEADS, SIZE, SIZE, 1], move |at| at / size % size == at % size);
        let weight = problem.input(weight);
        let bias = problem.input(HostTensor::f32([HEADS, SIZE], vec![0.0; HEADS * SIZE]).unwrap());
        let compression = Compression { weight, bias };
        memory_compressed(&mut problem.graph, q, k, v, [compression; 2], &MemoryCompressed::new())
    });
    for spec in [TalkingHeads::new(), TalkingHeads::new().storing_scores()] {
        assert_exact("heads that keep to themselves", |problem, [q, k, v]| {
            let mixing = problem.input(square(HEADS));
            talking_heads(&mut problem.graph, q, k, v, [mixing; 2], &spec)
        });
    }
    for spec in [Clustered::new(TIME), Clustered::new(TIME).improved(4), Clustered::new(COUNT).improved(TIME)]
    {
        assert_exact("a cluster for each query, or all keys for each cluster", |problem, [q, k, v]| {
            let ids = (0..2 * HEADS * TIME).map(|at| (at % TIME) as i32);
            let ids = ids.map(|id| if format!("{spec:?}").contains("count: 5") { id % 5 } else { id });
            let clusters = problem.input(HostTensor::i32([2, HEADS, TIME], ids.collect()).unwrap());
            clustered(&mut problem.graph, q, k, v, clusters, &spec)
        });
    }
    assert_exact("no layer before", |problem, [q, k, v]| {
        Ok(residual_attention(&mut problem.graph, q, k, v, &PreviousScores::none(), &Blocked::new())?.0)
    });
    assert_exact("a prior of scores", |problem, [q, k, v]| {
        let graph = &mut problem.graph;
        let spec = ops::Matmul::new().transpose_b();
        let spec = spec.heads(ops::Heads::Inner, ops::Heads::Inner, ops::Heads::Outer);
        let scores = ops::matmul(graph, q, k, &spec)?;
        let scores = ops::scale(graph, scores, (SIZE as f32).powf(-0.5))?;
        prior_attention(graph, scores, v, &Blocked::new())
    });
}

/// Over all keys, they are keys among others.
#[test]
fn persistent_keys_have_the_scale_and_the_softcap_of_those_of_the_text() {
    let mut problem = Problem::default();
    let [q, k, v] = qkv(2).map(|tensor| problem.input(tensor));
    let persistent = [10, 11].map(|seed| problem.input(random(seed, &[HEADS, COUNT, SIZE])));
    let spec = Blocked::new().scale(0.7).softcap(0.4);
    let graph = &mut problem.graph;
    let out = persistent_memory(graph, q, k, v, persistent, &spec).unwrap();
    let [keys, values] = [(persistent[0], k), (persistent[1], v)].map(|(own, of_text)| {
        let own = ops::transpose(graph, own, &[1, 0, 2]).unwrap();
        let own = ops::broadcast(graph, own, [2, COUNT, HEADS, SIZE]).unwrap();
        ops::concat(graph, &[own, of_text], 1).unwrap()
    });
    let expected = blocked(graph, q, keys, values, &spec).unwrap();
    let results = problem.run(&[out, expected]);
    assert_near("persistent keys", &results[0], &results[1]);
}

/// From 32 layers of 8 channels on, scores are stored, and after as many again those of both are; up to there vectors stand side by side.
#[test]
fn scores_of_many_layers_are_those_of_one_whose_scale_is_their_number() {
    const LAYERS: usize = 67;
    let mut problem = Problem::default();
    let [q, k, v] = qkv(1).map(|tensor| problem.input(tensor));
    let scale = 0.02;
    let spec = Blocked::new().scale(scale);
    let (mut out, mut previous) = (v, PreviousScores::none());
    for layer in 0..LAYERS {
        assert_eq!(previous.stored().is_some(), layer * SIZE > 256, "layer {layer}");
        (out, previous) = residual_attention(&mut problem.graph, q, k, v, &previous, &spec).unwrap();
    }
    let all = Blocked::new().scale(scale * LAYERS as f32);
    let expected = blocked(&mut problem.graph, q, k, v, &all).unwrap();
    let results = problem.run(&[out, expected]);
    assert_near("67 layers", &results[0], &results[1]);
}

/// Key heads that are shared are as if each query head had a copy.
#[test]
fn grouping_heads_changes_nothing() {
    let record: [(&str, Record); 2] = [
        ("nystrom", |problem, [q, k, v], _| nystrom(&mut problem.graph, q, k, v, &Nystrom::new(COUNT))),
        ("clustered, improved", by_cluster_improved),
    ];
    for (name, record) in record {
        let mut problem = Problem::default();
        let q = problem.input(random(30, &[2, TIME, 2 * HEADS, SIZE]));
        let [k, v] = [31, 32].map(|seed| problem.input(random(seed, &[2, TIME, HEADS, SIZE])));
        let [many_k, many_v] = [k, v].map(|x| ops::repeat_each(&mut problem.graph, x, 2, 2).unwrap());
        let found = record(&mut problem, [q, k, v], None).unwrap();
        let expected = record(&mut problem, [q, many_k, many_v], None).unwrap();
        let results = problem.run(&[found, expected]);
        assert_near(name, &results[0], &results[1]);
    }
}

#[test]
fn queries_that_point_apart_are_of_clusters_of_their_own() {
    // Three directions, in turn, with a little noise.
    let mut noise = Random::new(40);
    let along = |at: usize| {
        let (time, channel) = (at / SIZE, at % SIZE);
        f32::from(channel / 2 == time % 3) * if channel % 2 == 0 { 1.0 } else { -1.0 }
    };
    let elements = (0..TIME * SIZE).map(|at| along(at) + 0.02 * noise.next_f32()).collect();
    let mut problem = Problem::default();
    let q = problem.input(HostTensor::f32([1, TIME, 1, SIZE], elements).unwrap());
    let clusters = lloyd_clusters(&mut problem.graph, q, None, &LloydClusters::new(3)).unwrap();
    let as_floats = ops::cast(&mut problem.graph, clusters, foveate::DType::F32).unwrap();
    let ids = problem.run(&[as_floats]).remove(0);
    assert!((0..TIME).all(|at| ids[at] == ids[at % 3]), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[test]
fn heads_that_are_alike_agree_wholly() {
    let mut problem = Problem::default();
    let one = problem.input(random(50, &[2, TIME, 1, SIZE]));
    let alike = ops::repeat(&mut problem.graph, one, 2, 4).unwrap();
    let lengths = problem.input(HostTensor::i32([2], vec![TIME as i32, 9]).unwrap());
    let graph = &mut problem.graph;
    let similarity = head_similarity(graph, alike, Some(lengths)).unwrap();
    // One head that sees one key alone: the first query of a causal one.
    let first = ops::slice(graph, alike, 1, 0..1).unwrap();
    let positions = position_similarity(graph, first, first, true, None, None).unwrap();
    let results = problem.run(&[similarity, positions]);
    assert_near("directions", &results[0], &[1.0]);
    assert_near("positions", &results[1], &[1.0]);
}

pub(super) fn assert_refused_as(error: &foveate::Error, kind: ErrorKind, op: &str, argument: &str) {
    assert_eq!((error.kind(), error.op(), error.argument()), (kind, op, argument), "{error}");
}
