//! LSH self-attention: tokens see the tokens of their buckets, which random rotations find.

use super::heads::{join_heads, split_heads};
use super::{Mixer, one_length_a_row, refuse_memory};
use crate::graph::Value;
use crate::nn::{Layout, Linear, Recorder};
use crate::ops::Activation;
use crate::ops::attention::{Lsh, lsh_attention, lsh_buckets, lsh_rotations};
use crate::weights::Scope;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "LSH attention";

/// LSH self-attention with shared queries and keys: each token sees the tokens of its buckets (Reformer, arXiv 2001.04451).
#[derive(Clone, Debug)]
pub struct LshAttention {
    query_key: Linear,
    value: Linear,
    output: Linear,
    settings: LshSettings,
}

/// The extents and settings of [`LshAttention`].
///
/// Rotations are drawn from the seed, the same for every graph. A training that draws others at each step, as the paper's, gives them as an input
/// of its graph, `f32 [heads, head_size, rounds, width]` ([`lsh_rotations`]), by [`Recorder::with_draws`]: `examples/duplication.rs`.
#[derive(Clone, Debug)]
pub struct LshSettings {
    /// How many heads there are.
    pub heads: usize,
    /// Channels of a head.
    pub head_size: usize,
    /// How often positions are hashed.
    pub rounds: usize,
    /// Chunks and conventions, without lengths, which layouts have.
    pub lsh: Lsh,
    /// How many buckets there are.
    pub buckets: LshBuckets,
    /// Of the rotations.
    pub seed: u64,
    /// What the rotations are called: `rotation.N`, for [`Recorder::with_draws`].
    pub number: usize,
}

/// How many buckets positions are hashed into, as factors that rotations find one by one ([`rotation_buckets`](crate::ops::rotation_buckets)).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LshBuckets {
    /// The product of these, whatever the length of a text.
    Given(Vec<usize>),
    /// A power of 2, about two buckets for each chunk of a text that is filled up to a multiple of `multiple` positions: one factor up to
    /// `largest_factor`, else two.
    OfLength {
        /// The chunk.
        chunk: usize,
        /// What texts are filled up to.
        multiple: usize,
        /// The most buckets that one factor finds.
        largest_factor: usize,
    },
}

impl LshBuckets {
    /// The factors for a text of `time` positions.
    pub(super) fn factors(&self, time: usize) -> Vec<usize> {
        match *self {
            Self::Given(ref factors) => factors.clone(),
            Self::OfLength { chunk, multiple, largest_factor } => {
                let power = (2 * (time.next_multiple_of(multiple) / chunk)).max(2).ilog2();
                if 1 << power <= largest_factor {
                    return vec![1 << power];
                }
                vec![1 << (power / 2), 1 << (power - power / 2)]
            }
        }
    }
}

impl LshAttention {
    /// Declares dense layers without bias under `scope`, whose names are those of queries and keys, values, and the output.
    pub fn declare(
        scope: &mut Scope<'_>,
        [query_key, value, output]: [&str; 3],
        width: usize,
        settings: LshSettings,
    ) -> Result<Self> {
        let inner = settings.heads * settings.head_size;
        let mut dense = |name, from, to| Linear::declare_without_bias(&mut scope.at(name), from, to);
        Ok(Self {
            query_key: dense(query_key, width, inner)?,
            value: dense(value, width, inner)?,
            output: dense(output, inner, width)?,
            settings,
        })
    }
}

impl Mixer for LshAttention {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let LshSettings { heads, head_size, rounds, lsh, buckets, seed, number } = &self.settings;
        let lengths = one_length_a_row(NAME, recorder, layout)?;
        let mut spec = lengths.map_or(*lsh, |lengths| lsh.lengths(lengths));
        let [query, value] = [&self.query_key, &self.value].map(|layer| {
            let projected = layer.record(recorder, x, Activation::Identity)?;
            split_heads(recorder, projected, *heads)
        });
        let (query, value) = (query?, value?);
        let desc = recorder.desc(query)?;
        let &[_, time, ..] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, NAME, "x").expecting("rank 3").but_found(desc));
        };
        let buckets = match spec.hashes(time) {
            false => None,
            true => {
                let factors = buckets.factors(time);
                spec = spec.buckets(factors.iter().product());
                let rotations = recorder.draw(&format!("rotation.{number}"), || {
                    lsh_rotations([*heads, *head_size, *rounds], &factors, *seed)
                })?;
                let buckets = lsh_buckets(recorder, query, rotations, &factors, &spec)?;
                recorder.keep_as(format!("buckets.{number}"), buckets);
                Some(buckets)
            }
        };
        let attended = lsh_attention(recorder, query, value, buckets, &spec)?;
        let joined = join_heads(recorder, attended.out)?;
        self.output.record(recorder, joined, Activation::Identity)
    }
}
