//! DeBERTa's attention (He et al., arXiv 2006.03654, section 3.1).

use super::heads::{head_size, project};
use super::join_heads;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::layers::parameter;
use crate::nn::{Layout, Linear};
use crate::ops::attention::{Blocked, LogBuckets, Score, blocked};
use crate::ops::{Activation, add, reshape, split};
use crate::weights::{Scope, Weight};

/// Self-attention whose scores know how far apart two tokens are: the query meets a key made of the distance (content to position), the
/// key a query made of it (position to content).
///
/// Scores are divided by the root of a head's channels times the number of terms, the product of query and key among them.
#[derive(Clone, Debug)]
pub struct DisentangledAttention {
    /// Makes queries, keys and values.
    pub content: Content,
    /// Makes keys of distances; without it, the term is left out.
    pub position_key: Option<Linear>,
    /// Makes queries of distances; without it, the term is left out.
    pub position_query: Option<Linear>,
    /// Joins the heads.
    pub output: Linear,
    /// How many heads share the width.
    pub heads: usize,
    /// Which distance has which vector.
    pub distances: Distances,
}

/// How queries, keys and values are made.
#[derive(Clone, Debug)]
pub enum Content {
    /// Query, key and value by layers of their own, as DeBERTa has them from version 2 on.
    Apart(Box<[Linear; 3]>),
    /// By one layer without bias, those of a head one behind another, `[heads, 3, head_size]`; biases of queries and of values `[width]`.
    /// DeBERTa's first version.
    Together {
        /// The layer, `[3 width, width]`.
        layer: Linear,
        /// Added to queries.
        query_bias: Weight,
        /// Added to values.
        value_bias: Weight,
    },
}

/// Which of `2 span` vectors each distance has; beyond the span, distances share the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Content {
    /// Declares layers of their own under `scope`. `names` are those of query, key and value.
    pub fn declare_apart(scope: &mut Scope<'_>, names: [&str; 3], width: usize) -> Result<Self> {
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        let [query, key, value] = names;
        Ok(Self::Apart(Box::new([dense(query)?, dense(key)?, dense(value)?])))
    }

    /// Declares one layer under `scope`, with biases apart. `names` are those of the layer and of the biases of queries and of values.
    pub fn declare_together(scope: &mut Scope<'_>, names: [&str; 3], width: usize) -> Result<Self> {
        let [layer, query_bias, value_bias] = names;
        Ok(Self::Together {
            layer: Linear::declare_without_bias(&mut scope.at(layer), width, 3 * width)?,
            query_bias: scope.weight(query_bias, [width])?,
            value_bias: scope.weight(value_bias, [width])?,
        })
    }

    fn record(&self, graph: &mut Graph, x: Value, heads: usize) -> Result<[Value; 3]> {
        let (layer, query_bias, value_bias) = match self {
            Self::Apart(layers) => return project(graph, x, layers.each_ref(), heads),
            Self::Together { layer, query_bias, value_bias } => (layer, query_bias, value_bias),
        };
        let [rows] = project(graph, x, [layer], heads)?;
        let desc = graph.desc(rows)?;
        let (dtype, size) = (desc.dtype, desc.shape.dims()[3] / 3);
        let parts = split(graph, rows, 3, &[size; 3])?;
        let mut biased = |part, bias| {
            let bias = parameter(graph, bias, dtype)?;
            let bias = reshape(graph, bias, [heads, size])?;
            add(graph, part, bias)
        };
        Ok([biased(parts[0], query_bias)?, parts[1], biased(parts[2], value_bias)?])
    }
}

impl DisentangledAttention {
    /// What each position of `x: [batch, time, width]` gathers from its own sequence: `[batch, time, width]`.
    ///
    /// `relative: [2 span, width]` has a vector for each distance, that of key `j` from query `i` being `i - j`, from `-span` on. Fails when
    /// there is neither term, and as [`blocked`] does.
    pub fn record(&self, graph: &mut Graph, x: Value, relative: Value, layout: &Layout) -> Result<Value> {
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
