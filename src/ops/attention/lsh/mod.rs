//! LSH attention: each query sees the keys that several random rotations put into its bucket (Reformer, Kitaev, Kaiser and Levskaya, arXiv
//! 2001.04451, section 2).
//!
//! Queries and keys are the same vectors, keys normalised. In each of several rounds, positions are sorted by bucket and the order is cut into
//! chunks; a query sees the chunks around its own. What it finds in all rounds is one softmax, in which a token sees itself only where it sees
//! nothing else. Rows are read where they lie ([`super::indexed`]): time and memory are linear in length, and memory does not grow with rounds but
//! by integers and numbers of rows.
//!
//! No gradient goes through buckets; one goes through the normalisation of keys.

mod order;

use super::Dims;
use super::indexed::{Border, Chunked, InChunks, Results, attend_in_chunks};
use crate::graph::{Graph, Value};
use crate::ops::{RmsNorm, constant, l2_normalize, padding, rms_norm};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

pub use order::{lsh_buckets, lsh_factors, lsh_rotations};

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

    /// A query sees its own position and those before.
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
    spec.check()?;
    let (q, v) = (graph.desc(query)?.clone(), graph.desc(value)?.clone());
    let dims = Dims::bind(NAME, [&q, &q, &v], 1)?;
    let Dims { batch, query_time: time, heads, head_size, .. } = dims;
    if let Some(lengths) = spec.lengths {
        padding::check_lengths(NAME, graph, lengths, batch)?;
    }
    let (key, self_score) = match spec.convention {
        LshConvention::Stop | LshConvention::HuggingFace => {
            let ones = constant(graph, HostTensor::from_f32(q.dtype, [head_size], &vec![1.0; head_size])?)?;
            (rms_norm(graph, query, ones, &RmsNorm::new(1e-6))?, -1e5)
        }
        LshConvention::Paper => (l2_normalize(graph, query, 1e-12)?, -5e4),
    };
    let mut chunked = Chunked {
        rounds: 1,
        chunks: 1,
        query_chunk: time.max(1),
        key_chunk: time.max(1),
        before: 0,
        after: 0,
        border: Border::Stop,
        is_causal: spec.is_causal,
        shown_from: usize::MAX,
        self_score: Some(self_score),
        same_bucket: false,
        is_deduplicated: false,
        results: Results::Positions,
        scale: 1.0 / (head_size as f32).sqrt(),
    };
    let ordered = if spec.hashes(time) {
        let buckets = buckets.ok_or_else(|| {
            Error::new(ErrorKind::Argument, NAME, "buckets").expecting("some").but_found("none")
        })?;
        let rounds = order::check_buckets(graph, buckets, [batch, heads, time])?;
        let chunks = spec.slots(time) / spec.chunk;
        let (border, [before, after]) = spec.around_of(chunks, rounds)?;
        chunked = Chunked {
            rounds,
            chunks,
            query_chunk: spec.chunk,
            key_chunk: spec.chunk,
            before,
            after,
            border,
            same_bucket: spec.same_bucket,
            is_deduplicated: spec.is_deduplicated,
            ..chunked
        };
        order::sorted(graph, buckets, spec)?
    } else {
        order::in_place(graph, [batch, heads, time], spec)?
    };
    let InChunks { out, lse, lse_rounds } =
        attend_in_chunks(graph, [query, key, value], &ordered.order, &chunked)?;
    Ok(LshAttended { out, lse, lse_rounds, order: ordered.positions })
}
