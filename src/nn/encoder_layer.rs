//! The encoder layer of the original Transformer (Vaswani et al., arXiv 1706.03762, section 3.1): normalised after each sum.

use super::{LayerNorm, Layout, Linear, Recorder, SelfAttention};
use crate::Result;
use crate::graph::Value;
use crate::ops::Activation;
use crate::weights::Scope;

/// Attention of one kind or another and a feed-forward network, each added to what it read and normalised.
#[derive(Clone, Debug)]
pub struct EncoderLayer<A = SelfAttention> {
    /// Gathers from the sequence.
    pub attention: A,
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

/// What a family's files call the parts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerNames {
    /// [`SelfAttention::query`].
    pub query: &'static str,
    /// [`SelfAttention::key`].
    pub key: &'static str,
    /// [`SelfAttention::value`].
    pub value: &'static str,
    /// [`SelfAttention::output`].
    pub output: &'static str,
    /// [`EncoderLayer::attention_norm`].
    pub attention_norm: &'static str,
    /// [`EncoderLayer::up`].
    pub up: &'static str,
    /// [`EncoderLayer::down`].
    pub down: &'static str,
    /// [`EncoderLayer::norm`].
    pub norm: &'static str,
}

/// The extents and settings of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpec {
    /// Channels of what it reads and gives.
    pub width: usize,
    /// Channels between the two dense layers.
    pub intermediate: usize,
    /// Attention heads.
    pub heads: usize,
    /// Of both normalisations.
    pub eps: f32,
    /// Between the two dense layers.
    pub activation: Activation,
}

impl EncoderLayer {
    /// Declares a layer's weights under `scope`, where they have the family's names.
    pub fn declare(scope: &mut Scope<'_>, names: &LayerNames, spec: &LayerSpec) -> Result<Self> {
        let own = [names.query, names.key, names.value, names.output];
        let attention = SelfAttention::declare(scope, own, spec.width, spec.heads)?;
        Self::declare_around(attention, scope, names, spec)
    }

    /// The layer's result for `x: [batch, time, width]`, of the same shape. Fails as its parts do.
    pub fn record(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        self.record_around(recorder, x, |recorder, x| self.attention.record(recorder, x, layout))
    }
}

impl<A> EncoderLayer<A> {
    /// Declares the weights of everything but `attention` under `scope`.
    pub fn declare_around(
        attention: A,
        scope: &mut Scope<'_>,
        names: &LayerNames,
        spec: &LayerSpec,
    ) -> Result<Self> {
        let LayerSpec { width, intermediate, eps, activation, .. } = *spec;
        let mut dense = |name, inner, out| Linear::declare(&mut scope.at(name), inner, out);
        let (up, down) = (dense(names.up, width, intermediate)?, dense(names.down, intermediate, width)?);
        let mut normed = |name| LayerNorm::declare(&mut scope.at(name), width, eps);
        let (attention_norm, norm) = (normed(names.attention_norm)?, normed(names.norm)?);
        Ok(Self { attention, attention_norm, up, activation, down, norm })
    }

    /// The layer's result for `x: [batch, time, width]`, of the same shape, where `gather` records the attention. Fails as it does, and
    /// as the other parts do.
    pub fn record_around<'g>(
        &self,
        recorder: &mut Recorder<'g>,
        x: Value,
        gather: impl FnOnce(&mut Recorder<'g>, Value) -> Result<Value>,
    ) -> Result<Value> {
        let gathered = gather(recorder, x)?;
        let gathered = recorder.dropout(gathered)?;
        let x = self.attention_norm.record(recorder, gathered, Some(x))?;
        let inner = self.up.record(recorder, x, self.activation)?;
        let fed = self.down.record(recorder, inner, Activation::Identity)?;
        let fed = recorder.dropout(fed)?;
        self.norm.record(recorder, fed, Some(x))
    }
}
