//! Conformer (Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", arXiv 2005.08100): half a feed-forward network,
//! attention that knows distances, a convolution module, the other half, and a normalisation.

mod attention;

use super::conv::behind_tail;
use super::{
    BatchNorm, FeedForward, LayerNorm, Layout, Linear, Mixer, Norm, Recorder, Residual, parameter,
    refuse_memory,
};
use crate::graph::Value;
use crate::ops::{self, Activation, Gate};
use crate::tensor::DType;
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

pub use attention::{ConformerAttention, ConformerPositions};

const CONV: &str = "Conformer convolution";
const LAYER: &str = "Conformer layer";

/// The convolution module (section 2.2): `reduce(f(batch_norm(depthwise(GLU(expand(norm(x)))))))`, where the second half of what `expand` makes is
/// the gate.
///
/// In inference the batch norm is part of the convolution's weights and bias. Padding is read as zeros.
#[derive(Clone, Debug)]
pub struct ConformerConv {
    /// Of what the module reads.
    pub norm: LayerNorm,
    /// To twice the width.
    pub expand: Linear,
    /// `[width, 1, kernel]`.
    pub depthwise: Weight,
    /// Positions before its own that the kernel reads: `kernel - 1` of a causal module, which streams can use.
    pub before: usize,
    /// Behind the convolution.
    pub batch_norm: BatchNorm,
    /// Behind the batch norm: swish in the paper.
    pub activation: Activation,
    /// Over the width.
    pub reduce: Linear,
}

/// A layer (section 2.4): `x + FFN(x) / 2`, `+ attention`, `+ convolution`, `+ FFN / 2`, normalised. Every part normalises what it reads.
#[derive(Clone, Debug)]
pub struct ConformerBlock {
    /// The feed-forward networks, the first before the attention and the second behind the convolution, with the norms of what they read.
    pub feeding: [(LayerNorm, FeedForward); 2],
    /// Of what the attention reads.
    pub attention_norm: LayerNorm,
    /// Mixes all positions.
    pub attention: ConformerAttention,
    /// Mixes near positions.
    pub conv: ConformerConv,
    /// Of the result.
    pub norm: LayerNorm,
}

impl Mixer for ConformerConv {
    /// Fails when `before` is not below the kernel, for streams with caches, and for parts of streams unless the module is causal.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(CONV, memory)?;
        let normed = self.norm.record(recorder, x, None)?;
        let expanded = self.expand.record(recorder, normed, Activation::Identity)?;
        let gated = ops::gated(recorder, expanded, Gate::Second, Activation::Sigmoid)?;
        let mixed = self.convolve(recorder, gated, layout)?;
        let active = ops::activate(recorder, mixed, self.activation)?;
        self.reduce.record(recorder, active, Activation::Identity)
    }
}

impl ConformerConv {
    /// Convolution and batch norm of `x: [batch, time, width]`.
    fn convolve(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        let [width, _, kernel] = [0, 1, 2].map(|axis| self.depthwise.shape().dims()[axis]);
        if self.before >= kernel {
            return Err(Error::new(ErrorKind::Argument, CONV, "before")
                .expecting(format!("less than the kernel, {kernel}"))
                .but_found(self.before));
        }
        let is_causal = self.before + 1 == kernel;
        let mut spec = ops::Conv1d::new().padding(self.before, kernel - 1 - self.before).groups(width);
        let read = match *layout {
            Layout::Rows => x,
            Layout::Padded { lengths } => ops::padding::zero_behind(recorder, x, lengths)?,
            Layout::Packed { segments, .. } => {
                spec = spec.segments(segments);
                x
            }
            Layout::Recurrent if is_causal && kernel == 1 => x,
            Layout::Recurrent if is_causal => {
                spec = spec.padding(0, 0);
                behind_tail(recorder, self.depthwise.name(), x, self.before)?
            }
            Layout::Recurrent | Layout::Cached { .. } | Layout::Stateful { .. } => {
                return Err(Error::new(ErrorKind::Unsupported, CONV, "layout")
                    .expecting("whole sequences, or segments of streams for a causal module")
                    .but_found("parts of streams"));
            }
        };
        let dtype = recorder.desc(x)?.dtype;
        let weight = parameter(recorder, &self.depthwise, dtype)?;
        if recorder.is_training() {
            let mixed = ops::conv1d(recorder, read, weight, &spec)?;
            return self.batch_norm.record(recorder, mixed, layout);
        }
        let [factor, shift] = self.batch_norm.affine(recorder)?;
        let factor = ops::reshape(recorder, factor, [width, 1, 1])?;
        let weight = ops::converted(recorder, weight, DType::F32)?;
        let folded = ops::multiply(recorder, weight, factor)?;
        let (folded, shift) =
            (ops::converted(recorder, folded, dtype)?, ops::converted(recorder, shift, dtype)?);
        ops::conv1d(recorder, read, folded, &spec.bias(shift))
    }
}

impl ConformerBlock {
    /// The layer's result for `x: [batch, time, width]`, where `mix` records the attention.
    pub fn record_around<'g>(
        &self,
        recorder: &mut Recorder<'g>,
        x: Value,
        layout: &Layout,
        mix: impl FnOnce(&mut Recorder<'g>, Value) -> Result<Value>,
    ) -> Result<Value> {
        let [first, second] = &self.feeding;
        let x = half(recorder, x, first)?;
        let attending = Residual::before(Norm::Layer(self.attention_norm.clone()));
        let x = attending.record(recorder, x, mix)?;
        let mixed = self.conv.record(recorder, x, None, layout)?;
        let mixed = recorder.dropout(mixed)?;
        let x = ops::add(recorder, x, mixed)?;
        let x = half(recorder, x, second)?;
        self.norm.record(recorder, x, None)
    }
}

/// `x` with half of what a feed-forward network makes of it.
fn half(recorder: &mut Recorder<'_>, x: Value, (norm, network): &(LayerNorm, FeedForward)) -> Result<Value> {
    let normed = norm.record(recorder, x, None)?;
    let made = network.record(recorder, normed)?;
    let made = recorder.dropout(made)?;
    let made = ops::scale(recorder, made, 0.5)?;
    ops::add(recorder, x, made)
}

impl Mixer for ConformerBlock {
    /// The whole layer, as its parts take the layout.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(LAYER, memory)?;
        self.record_around(recorder, x, layout, |recorder, x| {
            Mixer::record(&self.attention, recorder, x, None, layout)
        })
    }
}
