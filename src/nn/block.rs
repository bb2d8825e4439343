//! A layer of a Transformer (Vaswani et al., arXiv 1706.03762, section 3.1): attention or another mixer of tokens, and a feed-forward network, each
//! added to the residual stream.

use super::{LayerNorm, Layout, Linear, Mixer, Recorder, RmsNorm, SelfAttention};
use crate::graph::{Graph, Value};
use crate::ops::{self, Activation};
use crate::weights::Scope;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "block";

/// A layer of an encoder, or of a decoder where it has cross-attention.
#[derive(Clone, Debug)]
pub struct Block<M = SelfAttention> {
    /// Mixes the tokens of the sequence: self-attention or another [`Mixer`](super::Mixer).
    pub mixer: M,
    /// How that is added to the residual stream.
    pub mixing: Residual,
    /// Cross-attention to another sequence.
    pub cross: Option<(Residual, SelfAttention)>,
    /// The feed-forward network (FFN), on each token alone.
    pub feed_forward: FeedForward,
    /// How that is added to the residual stream.
    pub feeding: Residual,
}

/// How a part of a layer is added to the residual stream.
#[derive(Clone, Debug)]
pub struct Residual {
    /// The normalisation.
    pub norm: Norm,
    /// What it normalises.
    pub place: NormPlace,
}

/// Where a layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// What a part reads, `x + f(norm(x))`: pre-norm. The residual stream itself is never normalised.
    Before,
    /// The sum, `norm(x + f(x))`: post-norm, as the original Transformer has it.
    After,
}

/// A normalisation of the last axis.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Norm {
    /// By mean and variance.
    Layer(LayerNorm),
    /// By the root mean square.
    Rms(RmsNorm),
}

/// Two dense layers with an activation between them: `down(f(up(x)))`, or `down(f(up(x)) * gate(x))` where there is a gate (Shazeer, arXiv
/// 2002.05202).
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// The up-projection, from the width of the residual stream to that of the hidden layer.
    pub up: Linear,
    /// The gate projection, whose result is multiplied with that of the activation.
    pub gate: Option<Linear>,
    /// Between the two dense layers.
    pub activation: Activation,
    /// The down-projection, back to the width of the residual stream.
    pub down: Linear,
}

/// What a family's files call the parts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerNames {
    /// The dense layer that makes queries.
    pub query: &'static str,
    /// The dense layer that makes keys.
    pub key: &'static str,
    /// The dense layer that makes values.
    pub value: &'static str,
    /// [`SelfAttention::output`].
    pub output: &'static str,
    /// The normalisation of [`Block::mixing`].
    pub attention_norm: &'static str,
    /// [`FeedForward::up`].
    pub up: &'static str,
    /// [`FeedForward::down`].
    pub down: &'static str,
    /// The normalisation of [`Block::feeding`].
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

impl Block {
    /// Declares an encoder's layer that normalises its sums under `scope`, where weights have the family's names.
    pub fn declare(scope: &mut Scope<'_>, names: &LayerNames, spec: &LayerSpec) -> Result<Self> {
        let own = [names.query, names.key, names.value, names.output];
        let attention = SelfAttention::declare(scope, own, spec.width, spec.heads)?;
        Self::declare_around(attention, scope, names, spec)
    }
}

impl<M: Mixer> Block<M> {
    /// The layer's result for `x: [batch, time, width]`, of the same shape. A decoder's layer attends to `source: [batch, source_time,
    /// width]`, whose layout is behind it.
    ///
    /// Fails as its parts do, and when there is cross-attention without a source or a source without cross-attention.
    pub fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        layout: &Layout,
        source: Option<(Value, &Layout)>,
    ) -> Result<Value> {
        let x =
            self.mixing.record(recorder, x, |recorder, x| self.mixer.record(recorder, x, None, layout))?;
        let x = match (&self.cross, source) {
            (None, None) => x,
            (Some((_, attention)), Some((source, layout))) => {
                let pair = attention.keys_and_values(recorder, source)?;
                self.attend_to(recorder, x, pair, layout)?
            }
            (cross, _) => {
                let [expected, found] = match cross {
                    Some(_) => ["a source, as the layer has cross-attention", "none"],
                    None => ["no source, as the layer has no cross-attention", "one"],
                };
                return Err(Error::new(ErrorKind::Argument, NAME, "source")
                    .expecting(expected)
                    .but_found(found));
            }
        };
        self.feed(recorder, x)
    }
}

impl<M> Block<M> {
    /// Declares the weights of everything but `mixer` under `scope`: a layer that normalises its sums and has no cross-attention.
    pub fn declare_around(
        mixer: M,
        scope: &mut Scope<'_>,
        names: &LayerNames,
        spec: &LayerSpec,
    ) -> Result<Self> {
        let LayerSpec { width, intermediate, eps, activation, .. } = *spec;
        let feed_forward =
            FeedForward::declare(scope, [names.up, names.down], [width, intermediate], activation)?;
        let mut normed = |name| LayerNorm::declare(&mut scope.at(name), width, eps).map(Residual::after);
        let (mixing, feeding) = (normed(names.attention_norm)?, normed(names.norm)?);
        Ok(Self { mixer, mixing, cross: None, feed_forward, feeding })
    }

    /// [`Block::record`] of a layer without cross-attention, where `mix` records the mixer: one that reads more than the sequence.
    pub fn record_around<'g>(
        &self,
        recorder: &mut Recorder<'g>,
        x: Value,
        mix: impl FnOnce(&mut Recorder<'g>, Value) -> Result<Value>,
    ) -> Result<Value> {
        let x = self.mixing.record(recorder, x, mix)?;
        self.feed(recorder, x)
    }

    /// The residual stream `x` with what cross-attention gathers from keys and values that were made before
    /// ([`SelfAttention::keys_and_values`]), which lie as `layout` says; `x` itself in a layer without cross-attention.
    pub fn attend_to(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        pair: [Value; 2],
        layout: &Layout,
    ) -> Result<Value> {
        let Some((residual, attention)) = &self.cross else { return Ok(x) };
        residual.record(recorder, x, |recorder, x| attention.record_over(recorder, x, pair, layout))
    }

    /// The residual stream `x` with what the feed-forward network makes of each token.
    pub fn feed(&self, recorder: &mut Recorder<'_>, x: Value) -> Result<Value> {
        self.feeding.record(recorder, x, |recorder, x| self.feed_forward.record(recorder, x))
    }
}

impl Residual {
    /// Normalises what the part reads.
    pub fn before(norm: impl Into<Norm>) -> Self {
        Self { norm: norm.into(), place: NormPlace::Before }
    }

    /// Normalises the sum.
    pub fn after(norm: impl Into<Norm>) -> Self {
        Self { norm: norm.into(), place: NormPlace::After }
    }

    /// The residual stream `x: [batch, time, width]` with what `part` makes of it, after dropout.
    ///
    /// Parts compute in the recorder's type; the stream keeps its own. Fails as `part` does.
    pub fn record<'g>(
        &self,
        recorder: &mut Recorder<'g>,
        x: Value,
        part: impl FnOnce(&mut Recorder<'g>, Value) -> Result<Value>,
    ) -> Result<Value> {
        let branch = self.branch(recorder, x, part)?;
        match self.place {
            NormPlace::Before => ops::add(recorder, x, branch),
            NormPlace::After => self.norm.record(recorder, branch, Some(x)),
        }
    }

    /// What [`Residual::record`] adds to `x`.
    pub(crate) fn branch<'g>(
        &self,
        recorder: &mut Recorder<'g>,
        x: Value,
        part: impl FnOnce(&mut Recorder<'g>, Value) -> Result<Value>,
    ) -> Result<Value> {
        let stream = recorder.desc(x)?.dtype;
        let read = match self.place {
            NormPlace::Before => self.norm.record(recorder, x, None)?,
            NormPlace::After => x,
        };
        let dtype = recorder.dtype();
        let read = ops::converted(recorder, read, dtype)?;
        let made = part(recorder, read)?;
        let made = ops::converted(recorder, made, stream)?;
        recorder.dropout(made)
    }
}

impl Norm {
    /// The normalised `x: [.., width]`, or `x + residual`.
    pub fn record(&self, graph: &mut Graph, x: Value, residual: Option<Value>) -> Result<Value> {
        match self {
            Self::Layer(norm) => norm.record(graph, x, residual),
            Self::Rms(norm) => norm.record(graph, x, residual),
        }
    }
}

impl From<LayerNorm> for Norm {
    fn from(norm: LayerNorm) -> Self {
        Self::Layer(norm)
    }
}

impl From<RmsNorm> for Norm {
    fn from(norm: RmsNorm) -> Self {
        Self::Rms(norm)
    }
}

impl FeedForward {
    /// Declares layers with biases and no gate under `scope`. `names` are those of up and down.
    pub fn declare(
        scope: &mut Scope<'_>,
        [up, down]: [&str; 2],
        [width, inner]: [usize; 2],
        activation: Activation,
    ) -> Result<Self> {
        let mut dense = |name, from, to| Linear::declare(&mut scope.at(name), from, to);
        Ok(Self { up: dense(up, width, inner)?, gate: None, activation, down: dense(down, inner, width)? })
    }

    /// Declares layers without bias under `scope`. `names` are those of up, gate, where there is one, and down.
    pub fn declare_without_bias(
        scope: &mut Scope<'_>,
        (up, gate, down): (&str, Option<&str>, &str),
        [width, inner]: [usize; 2],
        activation: Activation,
    ) -> Result<Self> {
        let mut dense = |name, from, to| Linear::declare_without_bias(&mut scope.at(name), from, to);
        Ok(Self {
            up: dense(up, width, inner)?,
            gate: gate.map(|gate| dense(gate, width, inner)).transpose()?,
            activation,
            down: dense(down, inner, width)?,
        })
    }

    /// What the network makes of each row of `x: [.., width]`.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let mut inner = self.up.record(graph, x, self.activation)?;
        if let Some(gate) = &self.gate {
            let factor = gate.record(graph, x, Activation::Identity)?;
            inner = ops::multiply(graph, inner, factor)?;
        }
        self.down.record(graph, inner, Activation::Identity)
    }
}
