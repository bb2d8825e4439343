//! Pooling: from hidden states to one vector a sequence, by the modules that sentence-transformers puts behind the network.

use std::fmt;

use super::Tokens;
use crate::graph::{Graph, Value};
use crate::nn::{LayerNorm, Layout, Linear};
use crate::ops::{self, Activation, Pool};
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

/// The smallest norm that a vector is divided by (`torch.nn.functional.normalize`).
const SMALLEST_NORM: f32 = 1e-12;

/// How an embedding is made of a sequence's hidden states: pooled, and then changed by layers.
#[derive(Clone, Debug)]
pub struct Pooling {
    pub(super) kinds: Vec<PoolingKind>,
    pub(super) layers: Vec<Layer>,
}

/// How the hidden states of a sequence are reduced to one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolingKind {
    /// The first token's.
    First,
    /// The largest of each channel.
    Max,
    /// Their mean.
    Mean,
    /// Their sum, divided by the square root of their number.
    MeanSqrtLength,
    /// Their mean, each counted as often as its place says: the first once, the second twice (Muennighoff, arXiv 2202.08904).
    WeightedMean,
    /// The last token's.
    Last,
}

/// A layer behind the pooling.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    /// Divides a vector by its length.
    Normalize,
    Norm(LayerNorm),
    Dense(Box<Dense>),
}

/// A dense layer, to which what it reads may be added.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) linear: Linear,
    pub(super) activation: Activation,
    pub(super) residual: Residual,
    pub(super) width: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Residual {
    None,
    Same,
    Projected(Linear),
}

impl Default for Pooling {
    /// The mean, normalised: what most sentence encoders were trained with.
    fn default() -> Self {
        Self { kinds: vec![PoolingKind::Mean], layers: vec![Layer::Normalize] }
    }
}

impl Pooling {
    /// The reductions of hidden states, whose results are concatenated.
    pub fn kinds(&self) -> &[PoolingKind] {
        &self.kinds
    }

    /// Whether the last layer divides the vector by its length.
    pub fn is_normalized(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Normalize))
    }

    /// Numbers of an embedding, of hidden states of `width` channels.
    pub fn width(&self, width: usize) -> usize {
        let dense = self.layers.iter().rev().find_map(|layer| match layer {
            Layer::Dense(dense) => Some(dense.width),
            _ => None,
        });
        dense.unwrap_or(self.kinds.len() * width)
    }

    /// One vector a sequence of `hidden: [batch, time, width]`: `[batch, width]`, of packed sequences `[batch, count, width]`. Positions
    /// are counted from `first` on.
    pub(super) fn record(
        &self,
        graph: &mut Graph,
        hidden: Value,
        tokens: &Tokens,
        first: usize,
    ) -> Result<Value> {
        let pooled = self
            .kinds
            .iter()
            .map(|kind| kind.record(graph, hidden, tokens, first))
            .collect::<Result<Vec<_>>>()?;
        let axis = graph.desc(pooled[0])?.shape.rank() - 1;
        let pooled = if let [one] = pooled[..] { one } else { ops::concat(graph, &pooled, axis)? };
        self.layers.iter().try_fold(pooled, |x, layer| layer.record(graph, x))
    }
}

impl PoolingKind {
    fn record(self, graph: &mut Graph, hidden: Value, tokens: &Tokens, first: usize) -> Result<Value> {
        let of = |graph: &mut Graph, x, spec| ops::pool(graph, x, &within(spec, &tokens.layout)?);
        match self {
            Self::First => of(graph, hidden, Pool::first()),
            Self::Max => of(graph, hidden, Pool::max()),
            Self::Mean => of(graph, hidden, Pool::mean()),
            Self::Last => of(graph, hidden, Pool::last()),
            Self::MeanSqrtLength => {
                // The place of the last token is the number of tokens.
                let places = places(graph, tokens, first)?;
                let lengths = of(graph, places, Pool::last())?;
                let roots = ops::sqrt(graph, lengths)?;
                in_f32(graph, hidden, |graph, hidden| {
                    let mean = of(graph, hidden, Pool::mean())?;
                    ops::multiply(graph, mean, roots)
                })
            }
            Self::WeightedMean => {
                let places = places(graph, tokens, first)?;
                let mean_place = of(graph, places, Pool::mean())?;
                in_f32(graph, hidden, |graph, hidden| {
                    let weighted = ops::multiply(graph, hidden, places)?;
                    let mean = of(graph, weighted, Pool::mean())?;
                    ops::divide(graph, mean, mean_place)
                })
            }
        }
    }
}

/// The tokens that count, by how the batch lies.
fn within(spec: Pool, layout: &Layout) -> Result<Pool> {
    match *layout {
        Layout::Rows => Ok(spec),
        Layout::Padded { lengths } => Ok(spec.lengths(lengths)),
        Layout::Packed { segments, count } => Ok(spec.segments(segments, count)),
        Layout::Cached { .. } | Layout::Recurrent | Layout::Stateful { .. } => {
            Err(Error::new(ErrorKind::Unsupported, "pooling", "layout")
                .expecting("whole sequences")
                .but_found("pieces of streams"))
        }
    }
}

/// The places of tokens in their sequences, counted from 1: f32 `[batch, time, 1]`.
fn places(graph: &mut Graph, tokens: &Tokens, first: usize) -> Result<Value> {
    let positions = ops::cast(graph, tokens.positions, DType::F32)?;
    let before = ops::constant(graph, HostTensor::f32([1], vec![1.0 - first as f32])?)?;
    let places = ops::add(graph, positions, before)?;
    let dims = graph.desc(places)?.shape.dims().to_vec();
    ops::reshape(graph, places, [dims[0], dims[1], 1])
}

/// What `f` makes of `x` in f32, in the type of `x`: sums and products with lengths may leave f16.
fn in_f32(graph: &mut Graph, x: Value, f: impl FnOnce(&mut Graph, Value) -> Result<Value>) -> Result<Value> {
    let dtype = graph.desc(x)?.dtype;
    if dtype == DType::F32 {
        return f(graph, x);
    }
    let wide = ops::cast(graph, x, DType::F32)?;
    let y = f(graph, wide)?;
    ops::cast(graph, y, dtype)
}

impl Layer {
    fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        match self {
            Self::Normalize => ops::l2_normalize(graph, x, SMALLEST_NORM),
            Self::Norm(norm) => norm.record(graph, x, None),
            Self::Dense(dense) => {
                let y = dense.linear.record(graph, x, dense.activation)?;
                match &dense.residual {
                    Residual::None => Ok(y),
                    Residual::Same => ops::add(graph, y, x),
                    Residual::Projected(projection) => {
                        let projected = projection.record(graph, x, Activation::Identity)?;
                        ops::add(graph, y, projected)
                    }
                }
            }
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, kind) in self.kinds.iter().enumerate() {
            write!(f, "{}{kind}", if place == 0 { "" } else { " and " })?;
        }
        for layer in &self.layers {
            match layer {
                Layer::Normalize => f.write_str(", normalised")?,
                Layer::Norm(_) => f.write_str(", layer normalisation")?,
                Layer::Dense(dense) => write!(f, ", a dense layer of {}", dense.width)?,
            }
        }
        if self.layers.is_empty() { f.write_str(", as it is") } else { Ok(()) }
    }
}

impl fmt::Display for PoolingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the first token",
            Self::Max => "the largest of each channel",
            Self::Mean => "the mean of all tokens",
            Self::MeanSqrtLength => "the sum of all tokens by the root of their number",
            Self::WeightedMean => "the mean of all tokens, weighted by place",
            Self::Last => "the last token",
        })
    }
}
