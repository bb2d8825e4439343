//! DeBERTa's attention (He et al., arXiv 2006.03654, section 3.1).

use super::heads::head_size;
use super::{Projections, join_heads};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Linear};
use crate::ops::attention::{Blocked, LogBuckets, Score, blocked};
use crate::ops::{Activation, reshape};
use crate::weights::Scope;

/// Self-attention with relative positions: to the product of query and key are added that of the query with a key made of their distance (content to
/// position) and that of the key with a query made of it (position to content).
///
/// Scores are divided by the root of a head's channels times the number of terms, the product of query and key among them.
#[derive(Clone, Debug)]
pub struct DisentangledAttention {
    /// The projections of queries, keys and values.
    pub content: Projections,
    /// The key projection of distances, for the term content to position; without it, the term is left out.
    pub position_key: Option<Linear>,
    /// The query projection of distances, for the term position to content; without it, the term is left out.
    pub position_query: Option<Linear>,
    /// The output projection.
    pub output: Linear,
    /// How many heads share the width.
    pub heads: usize,
    /// Which distance has which vector.
    pub distances: Distances,
}

/// Which of `2 span` vectors each distance has; beyond the span, distances share the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Distances {
    /// Each its own, `span` in either direction.
    Exact(u32),
    /// Few of large ones.
    Buckets(LogBuckets),
}

impl Distances {
    /// Vectors in either direction.
    pub fn span(self) -> u32 {
        match self {
            Self::Exact(span) => span,
            Self::Buckets(buckets) => buckets.span,
        }
    }
}

/// How files have the layer's projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisentangledForm {
    /// Queries, keys and values by one layer, `in_proj`, as in the first version.
    Together,
    /// By a layer each, and distances by layers of their own, as in the second version.
    Apart,
    /// By a layer each, and distances by the same as words.
    Shared,
}

impl DisentangledAttention {
    /// Declares the weights under `scope`, an `attention` of Hugging Face's, for `heads` that share `width`. `terms` are whether scores have that of
    /// content to position, and that of position to content.
    pub fn declare(
        scope: &mut Scope<'_>,
        form: DisentangledForm,
        [width, heads]: [usize; 2],
        terms: [bool; 2],
        distances: Distances,
    ) -> Result<Self> {
        let mut own = scope.at("self");
        let is_together = form == DisentangledForm::Together;
        let content = if is_together {
            Projections::declare_together(&mut own, ["in_proj", "q_bias", "v_bias"], width)?
        } else {
            Projections::declare_apart(&mut own, ["query_proj", "key_proj", "value_proj"], width)?
        };
        let [key, query] = match form {
            DisentangledForm::Together => ["pos_proj", "pos_q_proj"],
            DisentangledForm::Apart => ["pos_key_proj", "pos_query_proj"],
            DisentangledForm::Shared => ["key_proj", "query_proj"],
        };
        let key_layer = if is_together { Linear::declare_without_bias } else { Linear::declare };
        let [has_key, has_query] = terms;
        let position_key = has_key.then(|| key_layer(&mut own.at(key), width, width)).transpose()?;
        let position_query =
            has_query.then(|| Linear::declare(&mut own.at(query), width, width)).transpose()?;
        let output = Linear::declare(&mut scope.at("output.dense"), width, width)?;
        Ok(Self { content, position_key, position_query, output, heads, distances })
    }

    /// Products of each token with the vector of each distance, in every head and for every term.
    pub fn numbers_per_token(&self) -> usize {
        let terms = usize::from(self.position_key.is_some()) + usize::from(self.position_query.is_some());
        terms * self.heads * 2 * self.distances.span() as usize
    }

    /// Self-attention of `x: [batch, time, width]` within each sequence: `[batch, time, width]`.
    ///
    /// `relative: [2 span, width]` has a vector for each distance, that of key `j` from query `i` being `i - j`, from `-span` on. Fails when
    /// there is neither term, and as [`blocked`] does.
    pub fn record(&self, graph: &mut Graph, x: Value, relative: Value, layout: &Layout) -> Result<Value> {
        layout.check_whole("disentangled attention")?;
        let [query, key, value] = self.content.record(graph, x, self.heads)?;
        let mut by_distance = |layer: &Option<Linear>| {
            let Some(layer) = layer else { return Ok(None) };
            let rows = layer.record(graph, relative, Activation::Identity)?;
            let width = graph.desc(rows)?.shape.dims().last().copied().unwrap_or(0);
            let count = 2 * self.distances.span() as usize;
            reshape(graph, rows, [count, self.heads, head_size(width, self.heads)?]).map(Some)
        };
        let (keys, queries) = (by_distance(&self.position_key)?, by_distance(&self.position_query)?);
        let terms = 1 + usize::from(keys.is_some()) + usize::from(queries.is_some());
        let score = match self.distances {
            Distances::Exact(span) => Score::disentangled(keys, queries, span),
            Distances::Buckets(buckets) => Score::disentangled_in_buckets(keys, queries, buckets),
        };
        let size = graph.desc(query)?.shape.dims()[3];
        let spec = Blocked::new().score(score).scale(((size * terms) as f32).sqrt().recip());
        let gathered = blocked(graph, query, key, value, &layout.restrict(spec))?;
        let joined = join_heads(graph, gathered)?;
        self.output.record(graph, joined, Activation::Identity)
    }
}
