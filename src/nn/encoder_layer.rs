//! The encoder layer of the original Transformer (Vaswani et al., arXiv 1706.03762, section 3.1): normalised after each sum.

use super::{LayerNorm, Linear, SelfAttention, Sequences};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::Activation;

/// Attention and a feed-forward network, each added to what it read and normalised.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    /// Gathers from the sequence.
    pub attention: SelfAttention,
    /// Normalises the sum with what was gathered.
    pub attention_norm: LayerNorm,
    /// Widens.
    pub up: Linear,
    /// Between the two dense layers.
    pub activation: Activation,
    /// Narrows again.
    pub down: Linear,
    /// Normalises the sum with what was fed forward.
    pub norm: LayerNorm,
}

impl EncoderLayer {
    /// The layer's result for `x: [batch, time, width]`, of the same shape. Fails as its parts do.
    pub fn record(&self, graph: &mut Graph, x: Value, sequences: &Sequences) -> Result<Value> {
        let gathered = self.attention.record(graph, x, sequences)?;
        let x = self.attention_norm.record(graph, gathered, Some(x))?;
        let inner = self.up.record(graph, x, self.activation)?;
        let fed = self.down.record(graph, inner, Activation::Identity)?;
        self.norm.record(graph, fed, Some(x))
    }
}
