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
//! | [`DisentangledAttention`] | its own sequence; scores depend on distances |
//! | [`LinearAttention`] | its own sequence, or what came before; scores are products of features |
//! | [`GatedLinearAttention`] | what came before, through a state that decays, or that each key corrects |
//! | [`LinformerAttention`] | its own sequence, as a few keys and values that are projections along time |
//! | [`NystromAttention`] | its own sequence, through landmarks |
//! | [`MemoryCompressedAttention`] | its own sequence, as slots of several keys each |
//! | [`ClusteredAttention`] | its own sequence, as the mean of its cluster's queries does |
//! | [`ChunkedAttention`] | its own chunk and those around it |
//! | [`LshAttention`] | the tokens of its buckets; queries are keys |
//! | [`RoutingAttention`] | the tokens of its clusters, and in local heads its own chunk and the one before |
//! | [`SparseAttention`] | the keys of its highest scores, or those that sparsemax or 1.5-entmax leave |
//! | [`SinkhornAttention`] | its own block, and the block that was sorted to its place |
//! | [`PersistentMemory`] | its own sequence, and keys of the network's own |
//! | [`TalkingHeadsAttention`] | its own sequence; heads exchange scores and weights |
//! | [`ResidualAttention`] | its own sequence; scores add up from layer to layer |
//! | [`SetAttention`], [`InducedSetAttention`], [`SetPooling`] | a set, whose order means nothing |
//! | [`Synthesizer`] | its own sequence, with weights that are no products of queries and keys |
//! | [`RelativePositions`] | its own sequence; scores depend on distances, by vectors that heads share |
//! | [`TransformerXlAttention`] | all that came before, in earlier segments, too; scores depend on distances |

mod adaptive_span;
mod attend;
mod big_bird;
mod bucket_bias;
mod chunked;
mod clustered;
mod disentangled;
mod gated;
mod heads;
mod linear;
mod linformer;
mod log_sparse;
mod longformer;
mod lsh;
mod mechanism;
mod memory;
mod memory_compressed;
mod nystrom;
mod persistent;
mod projections;
mod relative;
mod residual;
mod routed;
mod routing;
mod scored;
mod set;
mod sparse_transformer;
mod synthesizer;
mod talking_heads;
mod transformer_xl;
mod transformer_xl_memory;

pub use adaptive_span::{AdaptiveSpan, AdaptiveSpanAttention};
pub use attend::{Attend, Mixer, Softmax};
pub(crate) use attend::{check_one_sequence_a_row, one_length_a_row, refuse_memory, refuse_padding};
pub use big_bird::BigBirdAttention;
pub use bucket_bias::BucketBias;
pub use chunked::ChunkedAttention;
pub use clustered::ClusteredAttention;
pub use disentangled::{DisentangledAttention, DisentangledForm, Distances};
pub use gated::{DecayGate, GatedLinearAttention, GatedSpec};
pub use heads::{join_heads, split_heads};
pub use linear::{LinearAttention, retention_decays};
pub use linformer::{LinformerAttention, LinformerSharing};
pub use log_sparse::LogSparseAttention;
pub use longformer::LongformerAttention;
pub use lsh::{LshAttention, LshBuckets, LshSettings};
pub use mechanism::{MECHANISMS, Mechanism, MechanismAttention, MechanismExtents, MechanismRow};
pub use memory::next_memory;
pub use memory_compressed::MemoryCompressedAttention;
pub use nystrom::NystromAttention;
pub use persistent::PersistentMemory;
pub use projections::Projections;
pub use relative::RelativePositions;
pub use residual::ResidualAttention;
pub use routed::{RoutedRows, RoutingAttention, RoutingSettings};
pub use routing::HeadRouting;
pub use scored::{SinkhornAttention, SparseAttention};
pub use set::{InducedSetAttention, MultiheadAttentionBlock, SetAttention, SetAttentionNames, SetPooling};
pub use sparse_transformer::{Pattern, SparseTransformerAttention};
pub use synthesizer::{ConditionalPrior, Synthesis, Synthesizer};
pub use talking_heads::TalkingHeadsAttention;
pub use transformer_xl::{TransformerXl, TransformerXlAttention, sinusoidal_positions};
pub use transformer_xl_memory::{SegmentKeys, SegmentPositions};

use std::sync::Arc;

use super::{Layout, Linear, Recorder};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::Activation;
use crate::ops::attention::{Blocked, blocked};
use crate::weights::Scope;
use heads::head_size;
pub(in crate::nn) use memory::with_memory;

const OP: &str = "self-attention";

/// Multi-head self-attention: projections to queries, keys and values, attention between them, and the output projection.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    /// The projections of queries, keys and values.
    pub projections: Projections,
    /// The attention between the projections; another may take its place in a trained model ([`Recorder::exchange`]).
    pub attend: Arc<dyn Attend>,
    /// The output projection.
    pub output: Linear,
    /// How many heads there are.
    pub heads: usize,
}

impl SelfAttention {
    /// Declares four dense layers with bias, `[width, width]`, under `scope`, for softmax attention in which every token sees all. `names`
    /// are those of query, key, value and output.
    ///
    /// Fails when the heads do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, names: [&str; 4], width: usize, heads: usize) -> Result<Self> {
        Self::declare_with(Linear::declare, scope, names, [width, width], heads)
    }

    /// [`SelfAttention::declare`] for layers without bias, and for heads that have `inner` channels in all.
    pub fn declare_without_bias(
        scope: &mut Scope<'_>,
        names: [&str; 4],
        [width, inner]: [usize; 2],
        heads: usize,
    ) -> Result<Self> {
        Self::declare_with(Linear::declare_without_bias, scope, names, [width, inner], heads)
    }

    fn declare_with(
        declare: fn(&mut Scope<'_>, usize, usize) -> Result<Linear>,
        scope: &mut Scope<'_>,
        [query, key, value, output]: [&str; 4],
        [width, inner]: [usize; 2],
        heads: usize,
    ) -> Result<Self> {
        head_size(inner, heads)?;
        let mut dense = |name, from, to| declare(&mut scope.at(name), from, to);
        let layers = [dense(query, width, inner)?, dense(key, width, inner)?, dense(value, width, inner)?];
        let output = dense(output, inner, width)?;
        Ok(Self::new(Projections::Apart(Box::new(layers)), output, heads))
    }

    /// Softmax attention in which every token sees all, from layers that are declared already.
    pub fn new(projections: Projections, output: Linear, heads: usize) -> Self {
        Self { projections, attend: Arc::new(Blocked::new()), output, heads }
    }

    /// The layer with another attention between its projections.
    #[must_use]
    pub fn attending(self, attend: impl Attend + 'static) -> Self {
        Self { attend: Arc::new(attend), ..self }
    }

    /// [`Mixer::record`] without memory, and with `attend` in place of the layer's own: a rule with tensors that layers share, such as T5's
    /// table of distances.
    pub fn record_with(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        attend: &dyn Attend,
        layout: &Layout,
    ) -> Result<Value> {
        let [query, key, value] = self.projections.record(recorder, x, self.heads)?;
        let gathered = recorder.attend(attend, [query, key, value], layout)?;
        self.record_output(recorder, gathered)
    }

    /// Keys and values of `x: [batch, time, width]`, each `[batch, time, heads, head_size]`, for [`SelfAttention::record_over`].
    ///
    /// Fails when the heads do not divide what the layers make.
    pub fn keys_and_values(&self, graph: &mut Graph, x: Value) -> Result<[Value; 2]> {
        self.projections.keys_and_values(graph, x, self.heads)
    }

    /// Cross-attention of `x: [batch, time, width]` to keys and values of another sequence, which is laid out as `layout` says: `[batch, time,
    /// width]`.
    ///
    /// Fails when the heads do not divide what the layers make, and as the attention does.
    pub fn record_over(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        [key, value]: [Value; 2],
        layout: &Layout,
    ) -> Result<Value> {
        let query = self.projections.query(recorder, x, self.heads)?;
        let gathered = self.attend.record(recorder, query, key, value, layout)?;
        self.record_output(recorder, gathered)
    }

    /// Self-attention of `x: [batch, time, width]` within each sequence, under a rule whose tensors are values of the graph.
    fn record_under(&self, graph: &mut Graph, x: Value, spec: &Blocked) -> Result<Value> {
        let [query, key, value] = self.projections.record(graph, x, self.heads)?;
        let gathered = blocked(graph, query, key, value, spec)?;
        self.record_output(graph, gathered)
    }

    /// The output layer over `gathered: [batch, time, heads, head_size]`.
    fn record_output(&self, graph: &mut Graph, gathered: Value) -> Result<Value> {
        let joined = join_heads(graph, gathered)?;
        self.output.record(graph, joined, Activation::Identity)
    }
}

impl Mixer for SelfAttention {
    /// What each position gathers from its own sequence, of earlier segments too. A causal rule aligns the last query with the last key.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        if memory.is_none() {
            return self.record_with(recorder, x, &*self.attend, layout);
        }
        let seen = with_memory(recorder, x, memory)?;
        let query = self.projections.query(recorder, x, self.heads)?;
        let [key, value] = self.projections.keys_and_values(recorder, seen, self.heads)?;
        let gathered = recorder.attend(&*self.attend, [query, key, value], layout)?;
        self.record_output(recorder, gathered)
    }
}
