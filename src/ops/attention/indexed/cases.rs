//! Benchmarks, and conformance cases: chunks around tile edges, one round and several, both borders, every mask by position, hidden keys, empty
//! slots, every head size class, positions in several slots and in none.

use super::{Border, Chunked, HIDDEN_ENTRY, NAME, Order, Results, attend_in_chunks};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::ops::stop_gradient;
use crate::random::Random;
use crate::tensor::{DType, HostTensor};

/// One problem.
#[derive(Clone, Debug)]
struct Setup {
    label: &'static str,
    dtype: DType,
    extents: [usize; 3],
    sizes: [usize; 2],
    buckets: u64,
    /// How many tokens the first batch item has.
    tokens: Option<usize>,
    spec: Chunked,
}

const PLAIN: Chunked = Chunked {
    rounds: 1,
    chunks: 0,
    query_chunk: 8,
    key_chunk: 8,
    before: 1,
    after: 0,
    border: Border::Stop,
    is_causal: false,
    shown_from: usize::MAX,
    self_score: None,
    same_bucket: false,
    is_deduplicated: false,
    results: Results::Positions,
    scale: 0.25,
};

/// Of `chunk` slots each, so many chunks that `time` positions find room.
fn sorted(label: &'static str, time: usize, chunk: usize, spec: Chunked) -> Setup {
    let chunks = time.div_ceil(chunk);
    let spec = Chunked { chunks, query_chunk: chunk, key_chunk: chunk, ..spec };
    Setup { label, dtype: DType::F32, extents: [2, time, 2], sizes: [16, 24], buckets: 5, tokens: None, spec }
}

/// The integers of one order.
struct Orders {
    queries: Vec<i32>,
    buckets: Vec<i32>,
    chunks: Vec<i32>,
}

impl Setup {
    /// Positions sorted by random buckets.
    fn orders(&self) -> Orders {
        let [batch, time, heads] = self.extents;
        let mut random = Random::new(7);
        let mut orders = Orders { queries: Vec::new(), buckets: Vec::new(), chunks: Vec::new() };
        for line in 0..batch * heads * self.spec.rounds {
            let buckets: Vec<i32> = (0..time).map(|_| (random.next_u64() % self.buckets) as i32).collect();
            let mut order: Vec<usize> = (0..time).collect();
            order.sort_by_key(|&position| buckets[position]);
            let tokens = self.tokens.filter(|_| line < heads * self.spec.rounds).unwrap_or(time);
            let hidden = |position: usize| if position >= tokens { HIDDEN_ENTRY } else { 0 };
            let mut chunks = vec![0; time];
            for (slot, &position) in order.iter().enumerate() {
                chunks[position] = (slot / self.spec.query_chunk) as i32;
            }
            let empty = self.spec.query_slots() - time;
            orders.queries.extend(order.iter().map(|&position| position as i32 + hidden(position)));
            orders.queries.extend(std::iter::repeat_n(-1, empty));
            orders.buckets.extend(buckets);
            orders.chunks.extend(chunks);
        }
        orders
    }

    fn record(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let [batch, time, heads] = self.extents;
        let [head_size, value_size] = self.sizes;
        let rows = |size| [batch, time, heads, size];
        let query = problem.random("query", self.dtype, rows(head_size), 1.0)?;
        let key = problem.random("key", self.dtype, rows(head_size), 1.0)?;
        let value = problem.random("value", self.dtype, rows(value_size), 1.0)?;
        let orders = self.orders();
        let line = |width| [batch, heads, self.spec.rounds, width];
        let of_slots = line(self.spec.query_slots());
        let queries = problem.input("order", HostTensor::i32(of_slots, orders.queries)?)?;
        let mut of_positions = |name: &str, wanted: bool, numbers: Vec<i32>| -> Result<Option<Value>> {
            if wanted {
                problem.input(name, HostTensor::i32(line(time), numbers)?).map(Some)
            } else {
                Ok(None)
            }
        };
        let buckets = of_positions("buckets", self.spec.same_bucket, orders.buckets)?;
        let chunks = of_positions("chunks", self.spec.is_deduplicated, orders.chunks)?;
        let order = Order { queries, keys: None, buckets, chunks };
        self.outputs(problem, [query, key, value], &order)
    }

    fn outputs(&self, problem: &mut Problem, qkv: [Value; 3], order: &Order) -> Result<Vec<Value>> {
        let attended = attend_in_chunks(&mut problem.graph, qkv, order, &self.spec)?;
        let lse_rounds = stop_gradient(&mut problem.graph, attended.lse_rounds)?;
        Ok(vec![attended.out, attended.lse, lse_rounds])
    }

    /// Positions given to chunks, in any number of them, queries and keys apart; keys behind the queries' last position are seen by all.
    fn record_clusters(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let [batch, time, heads] = self.extents;
        let [head_size, value_size] = self.sizes;
        let key_time = time + 3;
        let query = problem.random("query", self.dtype, [batch, time, heads, head_size], 1.0)?;
        let key = problem.random("key", self.dtype, [batch, key_time, heads, head_size], 1.0)?;
        let value = problem.random("value", self.dtype, [batch, key_time, heads, value_size], 1.0)?;
        let mut random = Random::new(11);
        let mut slots = |count: usize, time: usize| -> Vec<i32> {
            let position = |_| (random.next_u64() % (time as u64 + 2)) as i32;
            let all = (0..batch * heads * count).map(position);
            all.map(|position| if position as usize >= time { -1 } else { position }).collect()
        };
        let (of_queries, of_keys) = (self.spec.query_slots(), self.spec.key_slots());
        let [queries, keys] = [slots(of_queries, time), slots(of_keys, key_time)];
        let queries = problem.input("queries", HostTensor::i32([batch, heads, 1, of_queries], queries)?)?;
        let keys = problem.input("keys", HostTensor::i32([batch, heads, 1, of_keys], keys)?)?;
        let order = Order { queries, keys: Some(keys), buckets: None, chunks: None };
        self.outputs(problem, [query, key, value], &order)
    }

    fn case(self) -> Case {
        let Self { label, dtype, extents: [batch, time, heads], sizes: [head, value], spec, .. } = &self;
        let label = format!(
            "{dtype} {batch} x {time} x {heads} x {head} and {value}, {} rounds of chunks of {} and {}, {label}",
            spec.rounds, spec.query_chunk, spec.key_chunk
        );
        // Scores differ by at most 10, but for those of tokens and themselves.
        let ulps = 2.0 * exp_ulps(10.0);
        let case = Case::new(NAME, label, move |problem| match self.spec.results {
            Results::Positions => self.record(problem),
            Results::Slots => self.record_clusters(problem),
        });
        case.builtin_ulps(ulps)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let ring = Chunked { border: Border::Ring, ..PLAIN };
    let shared = Chunked { self_score: Some(-40.0), is_causal: true, ..PLAIN };
    let slots = Chunked { results: Results::Slots, before: 0, chunks: 3, ..PLAIN };
    let two = |spec: Chunked| Chunked { rounds: 2, ..spec };
    let mut setups = vec![
        sorted("one back", 37, 8, PLAIN),
        sorted("a single chunk", 7, 8, Chunked { before: 0, ..PLAIN }),
        sorted("one back and one ahead", 64, 16, Chunked { after: 1, ..two(PLAIN) }),
        sorted("in a ring", 37, 8, Chunked { after: 1, ..two(ring) }),
        sorted("a ring of one chunk, which meets itself twice", 5, 8, ring),
        sorted("causal", 41, 7, Chunked { is_causal: true, ..two(ring) }),
        sorted("causal, a score for oneself", 40, 8, two(shared)),
        sorted("large chunks", 150, 70, Chunked { rounds: 3, ..shared }),
        sorted("chunks of one", 9, 1, Chunked { before: 3, ..PLAIN }),
        sorted("one bucket", 33, 8, Chunked { same_bucket: true, ..two(shared) }),
        sorted("pairs once", 33, 8, Chunked { is_deduplicated: true, after: 1, rounds: 4, ..PLAIN }),
        sorted("pairs once, round a ring", 33, 8, Chunked { is_deduplicated: true, rounds: 3, ..ring }),
        sorted(
            "pairs of one bucket once",
            33,
            4,
            Chunked { is_deduplicated: true, same_bucket: true, rounds: 4, ..shared },
        ),
        Setup { tokens: Some(20), ..sorted("20 tokens in the first item", 37, 8, two(ring)) },
        Setup { tokens: Some(0), ..sorted("no token in the first item", 19, 8, PLAIN) },
        Setup { sizes: [1, 3], ..sorted("small heads", 21, 4, two(PLAIN)) },
        Setup { sizes: [96, 130], ..sorted("large heads", 21, 8, PLAIN) },
        // Many slots, which take tiles of many rows.
        Setup {
            extents: [1, 2080, 4],
            sizes: [4, 8],
            ..sorted("many slots", 2080, 64, Chunked { self_score: Some(-40.0), ..PLAIN })
        },
        Setup { extents: [1, 29, 1], sizes: [64, 64], ..sorted("one head", 29, 8, two(PLAIN)) },
        Setup { label: "clusters", ..sorted("", 24, 8, slots) },
        Setup {
            spec: Chunked {
                query_chunk: 10,
                key_chunk: 13,
                chunks: 4,
                is_causal: true,
                shown_from: 40,
                ..slots
            },
            ..sorted("causal clusters, keys that all see", 40, 1, slots)
        },
        Setup {
            spec: Chunked { query_chunk: 5, key_chunk: 5, chunks: 4, self_score: Some(-40.0), ..slots },
            ..sorted("clusters, a score for oneself", 40, 1, slots)
        },
    ];
    let half = |setup: Setup| Setup { dtype: DType::F16, ..setup };
    setups.push(half(sorted("in a ring", 37, 8, Chunked { after: 1, ..two(ring) })));
    setups.push(half(sorted("one round", 37, 8, shared)));
    setups.push(half(Setup { label: "clusters", ..sorted("", 24, 8, slots) }));
    setups.into_iter().map(Setup::case).collect()
}

/// 4 heads of 64; the products of the pairs that meet are counted.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label: &'static str, time: usize, chunk: usize, rounds: usize| {
        let spec = Chunked { rounds, self_score: Some(-1e5), scale: 0.125, ..PLAIN };
        let setup = Setup {
            extents: [1, time, 4],
            sizes: [64, 64],
            buckets: (time / chunk) as u64,
            ..sorted(label, time, chunk, spec)
        };
        let flops = 4 * (time * rounds * 2 * chunk * 4 * 64) as u64;
        Bench::new(NAME, label, Work::Flops(flops), move |problem| Ok(vec![setup.record(problem)?[0]]))
    };
    vec![
        bench("4 rounds, 4096 tokens, 64 and one back", 4096, 64, 4),
        bench("2 rounds, 16384 tokens, 64 and one back", 16_384, 64, 2),
    ]
}
