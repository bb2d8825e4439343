//! Conformer (Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", arXiv 2005.08100): half a feed-forward network,
//! attention that knows distances, a convolution module, the other half, and a normalisation.

use super::conv::behind_tail;
use super::{
    BatchNorm, FeedForward, LayerNorm, Layout, Linear, Mixer, Norm, Projections, Recorder, Residual,
    join_heads, parameter, refuse_memory,
};
use crate::graph::{Graph, Value};
use crate::ops::attention::{Blocked, Score, blocked};
use crate::ops::{self, Activation, Gate};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

const CONV: &str = "Conformer convolution";
const ATTENTION: &str = "Conformer attention";

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

/// Attention whose scores know distances, by keys of sinusoids (section 2.1, after Dai et al., arXiv 1901.02860):
/// `((q_i + u) . k_j + (q_i + v) . p_(i - j)) / sqrt(size)`.
#[derive(Clone, Debug)]
pub struct ConformerAttention {
    /// Makes queries, keys and values.
    pub projections: Projections,
    /// Makes keys of the sinusoids of distances, without bias.
    pub position: Linear,
    /// Added to queries that meet keys and that meet distances: u and v, each `[heads, size]`.
    pub biases: [Weight; 2],
    /// Joins the heads.
    pub output: Linear,
    /// How many heads there are.
    pub heads: usize,
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
            Layout::Recurrent | Layout::Cached { .. } => {
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

impl ConformerAttention {
    /// What each position of `x: [batch, time, width]` gathers, where row `i` of `distances: [2 time - 1, width]` stands for `i - (time - 1)`
    /// positions between query and key.
    pub fn record_with(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        distances: Value,
        layout: &Layout,
    ) -> Result<Value> {
        if let Layout::Cached { .. } | Layout::Recurrent = layout {
            return Err(Error::new(ErrorKind::Unsupported, ATTENTION, "layout")
                .expecting("whole sequences")
                .but_found("parts of streams"));
        }
        let [query, key, value] = self.projections.record(recorder, x, self.heads)?;
        let desc = recorder.desc(query)?;
        let [time, size] = [1, 3].map(|axis| desc.shape.dims()[axis]);
        let keys = self.position.record(recorder, distances, Activation::Identity)?;
        let keys = ops::reshape(recorder, keys, [2 * time - 1, self.heads, size])?;
        let [u, v] = &self.biases;
        let (u, v) = (recorder.weight(u)?, recorder.weight(v)?);
        let score = Score::relative_keys(keys, Some(u), Some(v), time as u32 - 1);
        let gathered = blocked(recorder, query, key, value, &layout.restrict(Blocked::new().score(score)))?;
        let joined = join_heads(recorder, gathered)?;
        self.output.record(recorder, joined, Activation::Identity)
    }
}

impl Mixer for ConformerAttention {
    /// With sinusoids of distances. Fails for parts of streams, and for no positions.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(ATTENTION, memory)?;
        let desc = recorder.desc(x)?.clone();
        let (time, width) = match *desc.shape.dims() {
            [_, time, width] if time > 0 => (time, width),
            _ => {
                let error = Error::new(ErrorKind::Shape, ATTENTION, "x");
                return Err(error.expecting("[batch, at least 1 position, width]").but_found(desc));
            }
        };
        let distances = sinusoids(recorder, time, width)?;
        let distances = ops::converted(recorder, distances, desc.dtype)?;
        self.record_with(recorder, x, distances, layout)
    }
}

/// Sines and cosines by turns of the distances from `1 - time` to `time - 1`: f32 `[2 time - 1, width]`.
fn sinusoids(graph: &mut Graph, time: usize, width: usize) -> Result<Value> {
    let mut elements = Vec::with_capacity((2 * time - 1) * width);
    for row in 0..2 * time - 1 {
        let distance = row as f64 - (time as f64 - 1.0);
        elements.extend((0..width).map(|channel| {
            let angle = distance * 10_000f64.powf(-((channel - channel % 2) as f64) / width as f64);
            (if channel % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
        }));
    }
    ops::constant(graph, HostTensor::f32([2 * time - 1, width], elements)?)
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
        refuse_memory(ATTENTION, memory)?;
        self.record_around(recorder, x, layout, |recorder, x| {
            Mixer::record(&self.attention, recorder, x, None, layout)
        })
    }
}
