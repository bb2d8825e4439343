//! Benchmarks, and conformance cases: lengths around tile edges, every head size class, masks under both alignments, grouped heads, lengths per
//! item, packed sequences, softcap, decoding, empty rows, extreme scores.

use super::super::rules::cases::{self as rules, MakeRule};
use super::{Blocked, NAME, backward, blocked, blocked_with_lse};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::ops::attention::{Alignment, Mask};
use crate::tensor::{DType, HostTensor};

/// Once above and once below the fraction bar; scores here differ by at most 10, and keys further from the maximum weigh less.
fn softmax_ulps() -> f64 {
    2.0 * exp_ulps(10.0)
}

/// `tanh` may be off by 1e-5 (WGSL, "Accuracy of Concrete Floating Point Expressions"), which softcap multiplies by the cap and `exp` passes on to both sides of the fraction bar.
fn softcap_ulps(cap: f32) -> f64 {
    2.0 * f64::from(cap) * 1e-5 / f64::from(f32::EPSILON)
}

/// Lengths of the sequences of each batch item, behind which every position is a sequence of its own.
#[derive(Clone, Debug)]
pub(in crate::ops::attention) struct Packed(Vec<Vec<usize>>);

impl Packed {
    /// `[batch, time]` ids, negative ones and gaps among them.
    fn ids(&self, time: usize) -> Result<HostTensor> {
        let item = |lengths: &Vec<usize>| -> Vec<i32> {
            let sequences = lengths.iter().copied().chain(std::iter::repeat(1));
            (-7..).step_by(3).zip(sequences).flat_map(|(id, length)| vec![id; length]).take(time).collect()
        };
        HostTensor::i32([self.0.len(), time], self.0.iter().flat_map(item).collect())
    }

    fn label(&self) -> String {
        let few = |lengths: &Vec<usize>| match lengths[..] {
            [a, b, .., z] if lengths.len() > 8 => format!("[{a}, {b}, .. {} .., {z}]", lengths.len()),
            _ => format!("{lengths:?}"),
        };
        format!(", packed {}", self.0.iter().map(few).collect::<Vec<_>>().join(" and "))
    }
}

/// What queries and keys are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops::attention) enum Factors {
    /// Random, within this of 0.
    Random(f32),
    /// Queries of 0, so that scores are what the rule adds; random keys.
    ZeroQueries,
    /// Random queries, and keys that are all one, random within this of 0: equal scores of any size.
    EqualKeys(f32),
}

/// One attention problem, forward or backward.
#[derive(Clone, Debug)]
pub(in crate::ops::attention) struct Setup {
    pub(in crate::ops::attention) dtype: DType,
    pub(in crate::ops::attention) batch: usize,
    pub(in crate::ops::attention) query_time: usize,
    pub(in crate::ops::attention) key_time: usize,
    pub(in crate::ops::attention) heads: usize,
    pub(in crate::ops::attention) kv_heads: usize,
    pub(in crate::ops::attention) head_size: usize,
    pub(in crate::ops::attention) value_size: usize,
    pub(in crate::ops::attention) mask: Mask,
    /// What makes the rule in place of all below, and the rule in words.
    pub(in crate::ops::attention) rule: Option<(&'static str, MakeRule)>,
    pub(in crate::ops::attention) scale: Option<f32>,
    pub(in crate::ops::attention) softcap: Option<f32>,
    pub(in crate::ops::attention) lengths: Option<Vec<i32>>,
    pub(in crate::ops::attention) query_start: Option<Vec<i32>>,
    pub(in crate::ops::attention) packed: Option<Packed>,
    pub(in crate::ops::attention) factors: Factors,
}

impl Setup {
    pub(in crate::ops::attention) fn new(query_time: usize, key_time: usize) -> Self {
        Self {
            dtype: DType::F32,
            batch: 1,
            query_time,
            key_time,
            heads: 2,
            kv_heads: 2,
            head_size: 16,
            value_size: 16,
            mask: Mask::full(),
            rule: None,
            scale: None,
            softcap: None,
            lengths: None,
            query_start: None,
            packed: None,
            factors: Factors::Random(1.0),
        }
    }

    pub(in crate::ops::attention) fn sizes(self, head_size: usize, value_size: usize) -> Self {
        Self { head_size, value_size, ..self }
    }

    pub(in crate::ops::attention) fn heads(self, heads: usize, kv_heads: usize) -> Self {
        Self { heads, kv_heads, ..self }
    }

    pub(in crate::ops::attention) fn rule(self, words: &'static str, make: MakeRule) -> Self {
        Self { rule: Some((words, make)), ..self }
    }

    pub(in crate::ops::attention) fn mask(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }

    pub(in crate::ops::attention) fn lengths(self, lengths: &[i32]) -> Self {
        Self { batch: lengths.len(), lengths: Some(lengths.to_vec()), ..self }
    }

    pub(in crate::ops::attention) fn query_start(self, starts: &[i32]) -> Self {
        Self { batch: starts.len(), query_start: Some(starts.to_vec()), ..self }
    }

    pub(in crate::ops::attention) fn packed(lengths: &[usize]) -> Self {
        Self::packed_items(lengths.iter().sum(), &[lengths])
    }

    pub(in crate::ops::attention) fn packed_items(time: usize, items: &[&[usize]]) -> Self {
        let packed = Packed(items.iter().map(|lengths| lengths.to_vec()).collect());
        Self { batch: items.len(), packed: Some(packed), ..Self::new(time, time) }
    }

    pub(in crate::ops::attention) fn label(&self) -> String {
        let Self { dtype, batch, query_time, key_time, heads, kv_heads, head_size, value_size, .. } = self;
        let mut label = format!(
            "{dtype} {batch} x {query_time} queries, {key_time} keys, {heads}/{kv_heads} heads of {head_size}/{value_size}"
        );
        match self.rule {
            Some((words, _)) => label += &format!(", {words}"),
            None => label += &format!(", {}", self.mask),
        }
        if let Some(lengths) = &self.lengths {
            label += &format!(", lengths {lengths:?}");
        }
        if let Some(starts) = &self.query_start {
            label += &format!(", queries from {starts:?}");
        }
        if let Some(packed) = &self.packed {
            label += &packed.label();
        }
        if let Some(cap) = self.softcap {
            label += &format!(", softcap {cap}");
        }
        if let Some(scale) = self.scale {
            label += &format!(", scale {scale}");
        }
        match self.factors {
            Factors::Random(_) => {}
            Factors::ZeroQueries => label += ", queries of 0",
            Factors::EqualKeys(amplitude) => label += &format!(", equal keys within {amplitude:e}"),
        }
        label
    }

    /// Query, key and value of `problem`, and the settings.
    pub(in crate::ops::attention) fn inputs(&self, problem: &mut Problem) -> Result<([Value; 3], Blocked)> {
        let Self { batch, query_time, key_time, heads, kv_heads, head_size, value_size, .. } = *self;
        let (query_amplitude, key_amplitude, is_equal) = match self.factors {
            Factors::Random(amplitude) => (amplitude, amplitude, false),
            Factors::ZeroQueries => (0.0, 1.0, false),
            Factors::EqualKeys(amplitude) => (1.0, amplitude, true),
        };
        let q = problem.random("q", self.dtype, [batch, query_time, heads, head_size], query_amplitude)?;
        let k = [batch, key_time, kv_heads, head_size];
        let k = match is_equal {
            true => {
                let key: Vec<f32> = (0..head_size).map(|c| key_amplitude * ((c * c) as f32).sin()).collect();
                let keys = key.repeat(batch * key_time * kv_heads);
                problem.input("k", HostTensor::from_f32(self.dtype, k, &keys)?)?
            }
            false => problem.random("k", self.dtype, k, key_amplitude)?,
        };
        let v = problem.random("v", self.dtype, [batch, key_time, kv_heads, value_size], 1.0)?;
        let mut spec = match self.rule {
            Some((_, make)) => make(problem, self)?,
            None => Blocked::new().mask(self.mask.clone()),
        };
        if let Some(scale) = self.scale {
            spec = spec.scale(scale);
        }
        if let Some(cap) = self.softcap {
            spec = spec.softcap(cap);
        }
        if let Some(lengths) = &self.lengths {
            spec = spec.lengths(problem.input("lengths", HostTensor::i32([batch], lengths.clone())?)?);
        }
        if let Some(starts) = &self.query_start {
            let starts = HostTensor::i32([batch], starts.clone())?;
            spec = spec.query_start(problem.input("query_start", starts)?);
        }
        if let Some(packed) = &self.packed {
            spec = spec.segments(problem.input("segments", packed.ids(query_time)?)?);
        }
        Ok(([q, k, v], spec))
    }

    fn build(&self, problem: &mut Problem, wanted: Wanted) -> Result<Vec<Value>> {
        let ([q, k, v], spec) = self.inputs(problem)?;
        let (out, lse) = blocked_with_lse(&mut problem.graph, q, k, v, &spec)?;
        Ok(match wanted {
            Wanted::Both => vec![out, lse],
            Wanted::Out => vec![out],
            Wanted::Lse => vec![lse],
        })
    }

    /// What the built-in functions of the forward pass may lose.
    pub(in crate::ops::attention) fn builtin_ulps(&self) -> f64 {
        softmax_ulps() + self.softcap.map_or(0.0, softcap_ulps)
    }

    fn case(self) -> Case {
        let ulps = self.builtin_ulps();
        Case::new(NAME, self.label(), move |problem| self.build(problem, Wanted::Both)).builtin_ulps(ulps)
    }
}

/// Which of the two outputs are compared.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Both,
    Out,
    Lse,
}

/// The problems that forward and backward are both held to, in f32 and f16, with heads and values of `sizes` among them.
pub(in crate::ops::attention) fn setups(sizes: &[(usize, usize)]) -> Vec<Setup> {
    let mut setups = length_setups();
    setups.extend(mask_setups());
    setups.extend(size_setups(sizes));
    setups.extend(special_setups());
    setups.extend(packed_setups());
    setups.extend(offset_setups());
    setups.extend(rules::setups());
    let f32 = setups.iter().filter(|setup| setup.dtype == DType::F32);
    let f16 = f32.step_by(3).cloned().map(|setup| Setup { dtype: DType::F16, ..setup });
    setups.iter().cloned().chain(f16).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let square = [1, 8, 31, 32, 40, 59, 64, 80, 96, 111, 128, 160, 192, 256].map(|size| (size, size));
    let oblong = [(64, 32), (32, 64), (5, 128), (128, 3), (256, 1), (1, 256), (24, 7)];
    let mut cases: Vec<Case> =
        setups(&[&square[..], &oblong].concat()).into_iter().map(Setup::case).collect();
    // What nobody reads is not written.
    for (query_time, key_time) in [(65, 97), (1, 3000)] {
        for (wanted, words) in [(Wanted::Out, "no log-sum-exp"), (Wanted::Lse, "log-sum-exp only")] {
            let setup = Setup::new(query_time, key_time);
            let label = format!("{}, {words}", setup.label());
            let case = Case::new(NAME, label, move |problem| setup.build(problem, wanted));
            cases.push(case.builtin_ulps(softmax_ulps()));
        }
    }
    cases.extend(backward::cases::cases());
    cases
}

fn length_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for length in [1, 2, 63, 64, 65, 97] {
        setups.push(Setup::new(length, length).mask(Mask::causal()));
        setups.push(Setup::new(length, 65));
        setups.push(Setup::new(33, length));
    }
    setups.push(Setup::new(257, 1000).sizes(32, 32));
    setups.push(Setup::new(1000, 1000).heads(1, 1).mask(Mask::causal()));
    for (query_time, key_time) in [(0, 5), (5, 0), (0, 0), (0, 3000)] {
        setups.push(Setup::new(query_time, key_time));
    }
    setups
}

fn mask_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for (query_time, key_time) in [(29, 40), (40, 29), (130, 200)] {
        for mask in [Mask::causal(), Mask::window(5, 2), Mask::window(64, 0), Mask::window(0, 0)] {
            for alignment in [Alignment::BottomRight, Alignment::TopLeft] {
                setups.push(Setup::new(query_time, key_time).mask(mask.clone().aligned(alignment)));
            }
        }
        setups.push(Setup::new(query_time, key_time).mask(Mask::band(Some(3), None)));
        setups.push(Setup::new(query_time, key_time).mask(Mask::window(u32::MAX, u32::MAX)));
    }
    setups.push(Setup::new(50, 70).lengths(&[70, 0, 33, 1, 500, -4]));
    setups.push(Setup::new(50, 50).mask(Mask::causal()).lengths(&[50, 0, 33]));
    setups.push(Setup::new(66, 66).mask(Mask::window(9, 9)).lengths(&[10, 66]));
    setups
}

fn size_setups(sizes: &[(usize, usize)]) -> Vec<Setup> {
    let setup = |&(head_size, value_size): &(usize, usize)| {
        let setup = if head_size == value_size {
            Setup::new(19, 37)
        } else {
            Setup::new(35, 70).mask(Mask::causal())
        };
        setup.sizes(head_size, value_size)
    };
    sizes.iter().map(setup).collect()
}

fn special_setups() -> Vec<Setup> {
    let mut setups = Vec::new();
    for (heads, kv_heads) in [(4, 2), (7, 1), (6, 6), (14, 2)] {
        setups.push(Setup::new(40, 40).heads(heads, kv_heads).mask(Mask::causal()));
        setups.push(Setup::new(1, 70).heads(heads, kv_heads));
    }
    // One query over many keys: the keys are split over workgroups and merged.
    setups.push(Setup::new(1, 3000).sizes(64, 64).mask(Mask::causal()));
    setups.push(Setup::new(1, 3000).heads(8, 2).sizes(64, 40).lengths(&[3000, 17, 0]));
    setups.push(Setup::new(2, 2500).heads(3, 1).mask(Mask::window(1000, 0)));
    setups.push(Setup::new(3, 2049).heads(2, 2).sizes(31, 33));
    setups.push(Setup { softcap: Some(3.0), ..Setup::new(40, 40).mask(Mask::causal()) });
    setups.push(Setup { softcap: Some(0.5), scale: Some(40.0), ..Setup::new(40, 40) });
    setups.push(Setup { scale: Some(0.0), ..Setup::new(20, 30) });
    setups.push(Setup { scale: Some(-1.0), ..Setup::new(20, 30) });
    setups.push(Setup { factors: Factors::Random(0.0), ..Setup::new(20, 30) });
    // More workgroups than one axis of a dispatch holds.
    setups.push(Setup { batch: 33_000, ..Setup::new(1, 2).sizes(4, 4) });
    setups
}

/// Rows whose scores all have the same number added, where weights must stay as they are.
fn offset_setups() -> Vec<Setup> {
    let zero = |setup: Setup| Setup { factors: Factors::ZeroQueries, ..setup };
    let equal = |amplitude, setup: Setup| Setup { factors: Factors::EqualKeys(amplitude), ..setup };
    let by_row = |setup: Setup| zero(setup).rule("a number added to each row", rules::row_offsets);
    let by_pair = |setup: Setup| zero(setup).rule("a number added to each row's pairs", rules::pair_offsets);
    let f16 = |setup: Setup| Setup { dtype: DType::F16, ..setup };
    vec![
        by_row(Setup::new(20, 30)),
        by_pair(Setup::new(20, 30)),
        by_row(Setup::new(3, 3000)),
        equal(3e4, Setup::new(20, 30)),
        equal(1e10, Setup::new(20, 30)),
        equal(3e4, Setup::new(2, 3000)),
        // Extents of their own, as every third of the problems in f32 is one in f16, too.
        f16(by_row(Setup::new(41, 71))),
        f16(by_pair(Setup::new(21, 31))),
        f16(by_row(Setup::new(2, 2900))),
        f16(equal(3e4, Setup::new(41, 71))),
        f16(equal(3e4, Setup::new(2, 2900))),
    ]
}

fn packed_setups() -> Vec<Setup> {
    let edges = [1, 2, 63, 64, 65, 97];
    let mut setups = vec![
        Setup::packed(&edges),
        Setup::packed(&edges).mask(Mask::causal()),
        Setup::packed(&edges).mask(Mask::window(5, 2)),
        Setup::packed(&edges).mask(Mask::window(64, 0).aligned(Alignment::TopLeft)),
        Setup { softcap: Some(3.0), ..Setup::packed(&[40, 3, 21]) },
        // One tile of queries spans many sequences, or many tiles of queries one of several.
        Setup::packed(&[1; 70]),
        Setup::packed(&[3; 50]).mask(Mask::causal()),
        Setup::packed(&[64; 4]),
        Setup::packed(&[200]),
        Setup::packed(&[130, 1, 150]).heads(1, 1),
        Setup::packed_items(100, &[&[40, 60], &[1, 98], &[], &[100]]),
        Setup::packed_items(70, &[&[33, 37], &[5, 64]]).mask(Mask::causal()).heads(4, 2),
        Setup::packed_items(0, &[&[], &[]]),
    ];
    for (heads, kv_heads) in [(4, 2), (7, 1), (14, 2)] {
        setups.push(Setup::packed(&[9, 40, 17]).heads(heads, kv_heads));
    }
    for size in [16, 32, 64, 5] {
        let setup = Setup::packed(&[30, 1, 66]).sizes(size, size);
        setups.push(setup.clone());
        setups.push(Setup { dtype: DType::F16, ..setup.mask(Mask::causal()) });
    }
    // Few heads and long sequences: a GPU splits the keys.
    setups.push(Setup::packed(&[700, 324]).heads(1, 1).mask(Mask::causal()));
    setups.push(Setup::packed_items(1030, &[&[1, 1029], &[1000]]).heads(2, 1).sizes(8, 12));
    setups
}

/// Every row counts the work of full attention, `4 * heads * queries * keys * head_size`: what a mask saves shows as a higher rate.
/// Packed sequences count as one by one.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label, dtype, queries: usize, keys: usize, mask: Mask| {
        let flops = 4 * (4 * queries * keys * 64) as u64;
        Bench::new(NAME, label, Work::Flops(flops), move |problem| {
            let query = problem.random("query", dtype, [1, queries, 4, 64], 1.0)?;
            let key = problem.random("key", dtype, [1, keys, 4, 64], 1.0)?;
            let value = problem.random("value", dtype, [1, keys, 4, 64], 1.0)?;
            Ok(vec![blocked(&mut problem.graph, query, key, value, &Blocked::new().mask(mask.clone()))?])
        })
    };
    let mut benches = vec![
        bench("1024 f32", DType::F32, 1024, 1024, Mask::full()),
        bench("1024 f32, unchecked", DType::F32, 1024, 1024, Mask::full()).unchecked(),
        bench("1024 f32, causal", DType::F32, 1024, 1024, Mask::causal()),
        bench("4096 f32", DType::F32, 4096, 4096, Mask::full()),
        bench("4096 f32, causal", DType::F32, 4096, 4096, Mask::causal()),
        bench("4096 f32, window of 256", DType::F32, 4096, 4096, Mask::window(128, 127)),
        bench("one query of 65,536 keys, f32", DType::F32, 1, 65_536, Mask::causal()),
        bench_of_a_step(100),
        bench_of_a_step(500),
        bench_of_a_step(1000),
        bench("1024 f16", DType::F16, 1024, 1024, Mask::full()).f16(),
        bench_of_sequences("32 sequences of 64, 12 heads of 32, f32", 32, 64),
        bench_of_sequences("the same, packed", 1, 2048),
    ];
    benches.extend(backward::cases::benches());
    benches
}

/// `batch` items of `time` tokens, which where there is one item are packed sequences of 64.
fn bench_of_sequences(label: &str, batch: usize, time: usize) -> Bench {
    Bench::new(NAME, label, Work::Flops(4 * 32 * 64 * 64 * 12 * 32), move |problem| {
        let mut rows = |name| problem.random(name, DType::F32, [batch, time, 12, 32], 1.0);
        let (query, key, value) = (rows("query")?, rows("key")?, rows("value")?);
        let mut spec = Blocked::new();
        if batch == 1 {
            let ids = (0..time).map(|token| (token / 64) as i32).collect();
            spec = spec.segments(problem.input("ids", HostTensor::i32([1, time], ids)?)?);
        }
        Ok(vec![blocked(&mut problem.graph, query, key, value, &spec)?])
    })
}

/// One query of 12 heads of 64 at a position of a cache of 1024: the keys and values up to there are read.
fn bench_of_a_step(position: usize) -> Bench {
    let bytes = (2 * (position + 1) * 12 * 64 * size_of::<f32>()) as u64;
    let label = format!("one query at {position} of a cache of 1024, 12 heads of 64, f32");
    Bench::new(NAME, label, Work::Bytes(bytes), move |problem| {
        let mut rows = |name, time| problem.random(name, DType::F32, [1, time, 12, 64], 1.0);
        let (query, key, value) = (rows("query", 1)?, rows("key", 1024)?, rows("value", 1024)?);
        let start = problem.input("start", HostTensor::i32([1], vec![position as i32])?)?;
        let spec = Blocked::new().mask(Mask::causal()).query_start(start);
        Ok(vec![blocked(&mut problem.graph, query, key, value, &spec)?])
    })
}
