//! Multi-head self-attention (Vaswani et al., arXiv 1706.03762, section 3.2.2), and layers whose queries see only some of the keys.
//!
//! | layer | what a query sees |
//! |---|---|
//! | [`SelfAttention`] | its own sequence, or what a rule shows |
//! | [`LongformerAttention`] | a window and global tokens, which have projections of their own |
//! | [`SparseTransformerAttention`] | the strided or the fixed pattern |
//! | [`BigBirdAttention`] | a window, global blocks and blocks at random |
//! | [`LogSparseAttention`] | exponentially growing distances; queries and keys from a causal convolution |
//! | [`AdaptiveSpanAttention`] | as far back as each head has learned to look |
//! | [`DisentangledAttention`] | its own sequence; scores know distances |
//! | [`TransformerXlAttention`] | all that came before, of the segments before too; scores know distances |

mod adaptive_span;
mod attend;
mod big_bird;
mod disentangled;
mod heads;
mod log_sparse;
mod longformer;
mod memory;
mod sparse_transformer;
mod transformer_xl;

pub use adaptive_span::{AdaptiveSpan, AdaptiveSpanAttention};
pub use attend::{Attend, Mixer, Softmax};
pub use big_bird::BigBirdAttention;
pub use disentangled::{Content, DisentangledAttention, Distances};
pub use heads::{join_heads, split_heads};
pub use log_sparse::LogSparseAttention;
pub use longformer::LongformerAttention;
pub use memory::next_memory;
pub use sparse_transformer::{Pattern, SparseTransformerAttention};
pub use transformer_xl::{TransformerXl, TransformerXlAttention, sinusoidal_positions};

use super::{Layout, Linear};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::Activation;
use crate::ops::attention::{Blocked, blocked};
use crate::weights::Scope;
use heads::{head_size, project};

const OP: &str = "self-attention";

/// Queries, keys and values of all heads from the same positions, and a dense layer over what they gather.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    /// Makes the queries.
    pub query: Linear,
    /// Makes the keys.
    pub key: Linear,
    /// Makes the values.
    pub value: Linear,
    /// Joins the heads.
    pub output: Linear,
    /// How many heads share the width.
    pub heads: usize,
}

impl SelfAttention {
    /// Declares four dense layers with bias, `[width, width]`, under `scope`. `names` are those of query, key, value and output.
    ///
    /// Fails when the heads do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, names: [&str; 4], width: usize, heads: usize) -> Result<Self> {
        Self::declare_with(Linear::declare, scope, names, width, heads)
    }

    /// [`SelfAttention::declare`] for layers without bias.
    pub fn declare_without_bias(
        scope: &mut Scope<'_>,
        names: [&str; 4],
        width: usize,
        heads: usize,
    ) -> Result<Self> {
        Self::declare_with(Linear::declare_without_bias, scope, names, width, heads)
    }

    fn declare_with(
        declare: fn(&mut Scope<'_>, usize, usize) -> Result<Linear>,
        scope: &mut Scope<'_>,
        [query, key, value, output]: [&str; 4],
        width: usize,
        heads: usize,
    ) -> Result<Self> {
        head_size(width, heads)?;
        let mut dense = |name| declare(&mut scope.at(name), width, width);
        let (query, key, value) = (dense(query)?, dense(key)?, dense(value)?);
        Ok(Self { query, key, value, output: dense(output)?, heads })
    }

    /// What each position of `x: [batch, time, width]` gathers from its own sequence: `[batch, time, width]`.
    ///
    /// Fails when the heads do not divide the width, and as [`blocked`] does.
    pub fn record(&self, graph: &mut Graph, x: Value, layout: &Layout) -> Result<Value> {
        let spec = layout.restrict(Blocked::new());
        self.record_with(graph, x, &spec)
    }

    /// [`SelfAttention::record`] with the caller's own attention mask and score modifiers.
    pub fn record_with(&self, graph: &mut Graph, x: Value, spec: &Blocked) -> Result<Value> {
        let [query, key, value] = project(graph, x, [&self.query, &self.key, &self.value], self.heads)?;
        let gathered = blocked(graph, query, key, value, spec)?;
        self.record_output(graph, gathered)
    }

    /// Keys and values of `x: [batch, time, width]`, in heads, for [`SelfAttention::record_over`].
    ///
    /// Fails when the heads do not divide what the layers make.
    pub fn keys_and_values(&self, graph: &mut Graph, x: Value) -> Result<[Value; 2]> {
        let mut pair = [x; 2];
        for (rows, layer) in pair.iter_mut().zip([&self.key, &self.value]) {
            *rows = layer.record(graph, x, Activation::Identity)?;
            *rows = split_heads(graph, *rows, self.heads)?;
        }
        Ok(pair)
    }

    /// What queries of `x: [batch, time, width]` gather from keys and values that were made before, of another text or with those of a
    /// cache: `[batch, time, width]`.
    ///
    /// Fails when the heads do not divide what the layers make, and as [`blocked`] does.
    pub fn record_over(
        &self,
        graph: &mut Graph,
        x: Value,
        [key, value]: [Value; 2],
        spec: &Blocked,
    ) -> Result<Value> {
        let query = self.query.record(graph, x, Activation::Identity)?;
        let query = split_heads(graph, query, self.heads)?;
        let gathered = blocked(graph, query, key, value, spec)?;
        self.record_output(graph, gathered)
    }

    /// The output layer over `gathered: [batch, time, heads, head_size]`.
    fn record_output(&self, graph: &mut Graph, gathered: Value) -> Result<Value> {
        let joined = join_heads(graph, gathered)?;
        self.output.record(graph, joined, Activation::Identity)
    }
}
