//! LSH attention: each query sees the keys that several random rotations put into its bucket (Reformer, Kitaev, Kaiser and Levskaya, arXiv
//! 2001.04451, section 2).
//!
//! Queries and keys are the same vectors, keys normalised, unless keys are given ([`lsh_attention_with_keys`]). In each of several rounds, positions are
//! sorted by bucket and the order is cut into chunks; a query sees the chunks around its own. What it finds in all rounds is one softmax, in which a
//! token sees itself only where it sees nothing else. Rows are read where they lie ([`super::indexed`]): time and memory are linear in length, and
//! memory does not grow with rounds but by integers and numbers of rows.
//!
//! No gradient goes through buckets; one goes through the normalisation of keys.

mod order;

use super::Dims;
use super::indexed::{Border, Chunked, InChunks, Order, Results, attend_in_chunks};
use crate::graph::{Graph, Value};
use crate::ops::{RmsNorm, constant, l2_normalize, padding, rms_norm};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

pub use order::{lsh_bucket_factors, lsh_buckets, lsh_rotations};

const NAME: &str = "attention/lsh";

/// What implementations differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LshConvention {
    /// Keys are `q / sqrt(mean q^2 + 1e-6)`, scores `q . k / sqrt(head_size)`, and -1e5 of a token with itself. Rounds end where they end.
    Stop,
    /// The same, but the chunks of all rounds form a ring, as in Hugging Face's Transformers.
    HuggingFace,
    /// Keys are `q / |q|`, scores `q . k / sqrt(head_size)`, and -5e4 of a token with itself, in a ring; padding is hashed like tokens. The paper's
    /// keys (its section 2), as `reformer_pytorch` has them.
    Paper,
}

/// Settings of [`lsh_attention`] and [`lsh_buckets`].
#[derive(Clone, Copy, Debug)]
pub struct Lsh {
    pub(super) chunk: usize,
    multiple: usize,
    before: usize,
    after: usize,
    convention: LshConvention,
    is_causal: bool,
    same_bucket: bool,
    is_deduplicated: bool,
    lengths: Option<Value>,
    buckets: Option<usize>,
}

impl Lsh {
    /// Chunks of so many positions, of which a query sees its own and the one before; [`LshConvention::Stop`].
    pub fn new(chunk: usize) -> Self {
        Self {
            chunk,
            multiple: chunk,
            before: 1,
            after: 0,
            convention: LshConvention::Stop,
            is_causal: false,
            same_bucket: false,
            is_deduplicated: false,
            lengths: None,
            buckets: None,
        }
    }

    /// How many chunks before its own and behind it a query sees, where there are as many: [`LshConvention::Stop`] ends with its round. A ring's
    /// may be passed through once; a chunk that is reached twice counts twice.
    #[must_use]
    pub fn around(self, before: usize, after: usize) -> Self {
        Self { before, after, ..self }
    }

    /// Keys, scores of tokens with themselves, and what lies at the ends of rounds.
    #[must_use]
    pub fn convention(self, convention: LshConvention) -> Self {
        Self { convention, ..self }
    }

    /// A query sees its own position and those before. Which of these share its chunks may hang on later tokens, whose buckets move the borders of
    /// chunks.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// A query sees keys of its own bucket only, as the paper's equation 4 has it and few implementations do.
    #[must_use]
    pub fn same_bucket(self) -> Self {
        Self { same_bucket: true, ..self }
    }

    /// A key that a query meets in `n` rounds counts once, its score lowered by `ln n` in each (the paper's appendix A).
    #[must_use]
    pub fn deduplicated(self) -> Self {
        Self { is_deduplicated: true, ..self }
    }

    /// How many tokens each batch item really has: `i32 [batch]`. Nobody sees the others.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// How many buckets there are, the product of the factors of [`lsh_buckets`]: positions are then sorted by so many bits, in place of all 32.
    /// Those of a bucket from here on come last, as padding's do, in the order of positions.
    #[must_use]
    pub fn buckets(self, count: usize) -> Self {
        Self { buckets: Some(count), ..self }
    }

    /// A round's slots are a multiple of this, itself a multiple of the chunk, which matters in a ring: models whose layers have chunks of several
    /// sizes pad to a multiple of all.
    #[must_use]
    pub fn padded_to(self, multiple: usize) -> Self {
        Self { multiple, ..self }
    }

    /// Whether a text of `time` positions is hashed at all: one that fits a chunk is not, and every query sees every key.
    pub fn hashes(&self, time: usize) -> bool {
        time > self.chunk
    }

    /// Slots of a round.
    fn slots(&self, time: usize) -> usize {
        time.next_multiple_of(self.multiple.max(1))
    }

    /// The border of rounds, and how many chunks before its own and behind it a query sees where a round has so many.
    fn around_of(&self, chunks: usize, rounds: usize) -> Result<(Border, [usize; 2])> {
        if self.convention == LshConvention::Stop {
            return Ok((Border::Stop, [self.before, self.after].map(|number| number.min(chunks))));
        }
        let ring = chunks * rounds;
        for (argument, number) in [("before", self.before), ("after", self.after)] {
            if number > ring {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting(format!("at most once round the ring of {ring} chunks of all rounds"))
                    .but_found(number));
            }
        }
        Ok((Border::Ring, [self.before, self.after]))
    }

    /// The extents of query, key and value, once they and the settings are checked.
    fn bind(&self, graph: &Graph, qkv: [Value; 3]) -> Result<Dims> {
        self.check()?;
        let [q, k, v] = qkv.map(|value| graph.desc(value).cloned());
        let dims = Dims::bind(NAME, [&q?, &k?, &v?], 1)?;
        if let Some(lengths) = self.lengths {
            padding::check_lengths(NAME, graph, lengths, dims.batch)?;
        }
        Ok(dims)
    }

    /// Chunks of so many rounds, or a single one of all positions where nothing is hashed.
    fn chunked(&self, dims: &Dims, rounds: Option<usize>) -> Result<Chunked> {
        let time = dims.query_time;
        let whole = Chunked {
            rounds: 1,
            chunks: 1,
            query_chunk: time.max(1),
            key_chunk: time.max(1),
            before: 0,
            after: 0,
            border: Border::Stop,
            is_causal: self.is_causal,
            shown_from: usize::MAX,
            self_score: None,
            same_bucket: false,
            is_deduplicated: false,
            results: Results::Positions,
            scale: 1.0 / (dims.head_size as f32).sqrt(),
        };
        let Some(rounds) = rounds else { return Ok(whole) };
        let chunks = self.slots(time) / self.chunk;
        let (border, [before, after]) = self.around_of(chunks, rounds)?;
        Ok(Chunked {
            rounds,
            chunks,
            query_chunk: self.chunk,
            key_chunk: self.chunk,
            before,
            after,
            border,
            same_bucket: self.same_bucket,
            is_deduplicated: self.is_deduplicated,
            ..whole
        })
    }

    fn check(&self) -> Result<()> {
        if self.chunk == 0 {
            return Err(Error::new(ErrorKind::Argument, NAME, "chunk").expecting("at least 1").but_found(0));
        }
        if self.multiple == 0 || !self.multiple.is_multiple_of(self.chunk) {
            return Err(Error::new(ErrorKind::Argument, NAME, "padded_to")
                .expecting(format!("a multiple of the chunk, {}", self.chunk))
                .but_found(self.multiple));
        }
        Ok(())
    }
}

/// What [`lsh_attention`] gives.
#[derive(Clone, Copy, Debug)]
pub struct LshAttended {
    /// `[batch, time, heads, value_size]`
    pub out: Value,
    /// The log-sum-exp of every row: f32 `[batch, heads, time]`.
    pub lse: Value,
    /// Of each round by itself, without gradient: f32 `[batch, heads, rounds, time]`; one round where nothing was hashed.
    pub lse_rounds: Value,
    /// The position in each slot of each round: u32 `[batch, heads, rounds, slots]`, no less than the time where a slot is empty. None where
    /// nothing was hashed.
    pub order: Option<Value>,
}

/// LSH attention of `query: [batch, time, heads, head_size]`, whose keys are the same rows, normalised, over `value: [batch, time, heads,
/// value_size]`, f32 or f16.
///
/// `buckets: i32 [batch, heads, rounds, time]` are what [`lsh_buckets`] found for the same query; they are an argument so that a backward pass,
/// which may compute the query anew, uses those of the forward pass. Texts that [`Lsh::hashes`] says no of need none.
///
/// Fails when shapes or types do not fit, when buckets are missing, when the chunk is 0, and when a query is to see more chunks on one side
/// than a ring has.
pub fn lsh_attention(
    graph: &mut Graph,
    query: Value,
    value: Value,
    buckets: Option<Value>,
    spec: &Lsh,
) -> Result<LshAttended> {
    let dims = spec.bind(graph, [query, query, value])?;
    let desc = graph.desc(query)?.clone();
    let (key, self_score) = match spec.convention {
        LshConvention::Stop | LshConvention::HuggingFace => {
            let ones = HostTensor::from_f32(desc.dtype, [dims.head_size], &vec![1.0; dims.head_size])?;
            let ones = constant(graph, ones)?;
            (rms_norm(graph, query, ones, &RmsNorm::new(1e-6))?, -1e5)
        }
        LshConvention::Paper => (l2_normalize(graph, query, 1e-12)?, -5e4),
    };
    let extents = [dims.batch, dims.heads, dims.query_time];
    let (ordered, rounds) = order::of_buckets(graph, buckets, extents, spec)?;
    let chunked = Chunked { self_score: Some(self_score), ..spec.chunked(&dims, rounds)? };
    let InChunks { out, lse, lse_rounds } =
        attend_in_chunks(graph, [query, key, value], &ordered.order, &chunked)?;
    Ok(LshAttended { out, lse, lse_rounds, order: ordered.positions })
}

/// LSH attention whose keys are rows of their own: `key` is of the shape of `query`, is taken as it is, and has buckets of its own, found by the
/// same rotations. Queries and keys are each sorted by their buckets, and chunks of queries see the chunks of keys of the same rank: those of one
/// bucket meet as far as buckets hold as many queries as keys before them. A token and itself are a pair like others.
///
/// Fails as [`lsh_attention`] does, and for settings by which pairs are told by one bucket of a position: [`Lsh::same_bucket`] and
/// [`Lsh::deduplicated`]. The order that is given is that of queries.
pub fn lsh_attention_with_keys(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    buckets: Option<[Value; 2]>,
    spec: &Lsh,
) -> Result<LshAttended> {
    let dims = spec.bind(graph, [query, key, value])?;
    if dims.key_time != dims.query_time {
        return Err(Error::new(ErrorKind::Shape, NAME, "key")
            .expecting(format!("as many positions as query, {}", dims.query_time))
            .but_found(dims.key_time));
    }
    for (argument, is_set) in [("same_bucket", spec.same_bucket), ("deduplicated", spec.is_deduplicated)] {
        if is_set {
            return Err(Error::new(ErrorKind::Unsupported, NAME, argument)
                .expecting("queries that are keys")
                .but_found("keys of their own"));
        }
    }
    let extents = [dims.batch, dims.heads, dims.query_time];
    let [own, of_keys] = buckets.map_or([None; 2], |buckets| buckets.map(Some));
    let (queries, rounds) = order::of_buckets(graph, own, extents, spec)?;
    let (keys, rounds_of_keys) = order::of_buckets(graph, of_keys, extents, spec)?;
    if rounds != rounds_of_keys {
        return Err(Error::new(ErrorKind::Shape, NAME, "buckets of keys")
            .expecting(format!("{} rounds", rounds.unwrap_or(0)))
            .but_found(rounds_of_keys.unwrap_or(0)));
    }
    let order = Order { keys: Some(keys.order.queries), ..queries.order };
    let chunked = spec.chunked(&dims, rounds)?;
    let InChunks { out, lse, lse_rounds } = attend_in_chunks(graph, [query, key, value], &order, &chunked)?;
    Ok(LshAttended { out, lse, lse_rounds, order: queries.positions })
}
