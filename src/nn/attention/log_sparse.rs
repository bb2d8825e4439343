//! LogSparse Transformer's attention (Li et al., arXiv 1907.00235, section 4).

use super::heads::{head_size, join_heads, project, split_heads};
use super::{Mixer, OP, check_one_sequence_a_row, refuse_memory};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{CausalConv1d, Layout, Linear, Recorder};
use crate::ops::Activation;
use crate::ops::attention::{Blocked, LogSparse, Mask, blocked};
use crate::weights::Scope;

/// Causal attention at exponentially growing distances, with queries and keys from a causal convolution, so that a score compares
/// shapes and not single points (section 4.1).
#[derive(Clone, Debug)]
pub struct LogSparseAttention {
    /// The query projection, a causal convolution.
    pub query: CausalConv1d,
    /// The key projection, a causal convolution.
    pub key: CausalConv1d,
    /// The value projection, of each position alone.
    pub value: Linear,
    /// The output projection.
    pub output: Linear,
    /// How many heads share the width.
    pub heads: usize,
    /// What is seen.
    pub spec: LogSparse,
}

impl LogSparseAttention {
    /// Declares `query` and `key`, convolutions of `kernel` positions, `value` and `output` under `scope`.
    ///
    /// Fails when the heads do not divide the width or the kernel is 0.
    pub fn declare(
        scope: &mut Scope<'_>,
        width: usize,
        heads: usize,
        kernel: usize,
        spec: LogSparse,
    ) -> Result<Self> {
        head_size(width, heads)?;
        let mut convolution = |name| CausalConv1d::declare(&mut scope.at(name), width, width, kernel);
        let (query, key) = (convolution("query")?, convolution("key")?);
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        Ok(Self { query, key, value: dense("value")?, output: dense("output")?, heads, spec })
    }

    /// Self-attention of `x: [batch, time, width]`: `[batch, time, width]`. Padding behind a sequence needs no mask, as nothing before it sees it.
    ///
    /// Fails when the settings have no meaning, and as [`blocked`] does.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let [value] = project(graph, x, [&self.value], self.heads)?;
        let mut convolve = |layer: &CausalConv1d| {
            let convolved = layer.record(graph, x)?;
            split_heads(graph, convolved, self.heads)
        };
        let (query, key) = (convolve(&self.query)?, convolve(&self.key)?);
        let spec = Blocked::new().mask(Mask::log_sparse(self.spec));
        let gathered = blocked(graph, query, key, value, &spec)?;
        let joined = join_heads(graph, gathered)?;
        self.output.record(graph, joined, Activation::Identity)
    }
}

impl Mixer for LogSparseAttention {
    /// [`LogSparseAttention::record`] of a row for each sequence.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(OP, memory)?;
        check_one_sequence_a_row(OP, layout)?;
        self.record(recorder, x)
    }
}
