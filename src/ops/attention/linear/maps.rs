//! From queries and keys to features: the maps there are, and which of them kernels apply as they read.

use super::CustomFeature;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Activation, activate, softmax, transpose};

/// From queries or keys to features.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FeatureMap {
    /// They are features already, made by other ops, such as random features (FAVOR+,
    /// [`softmax_kernel_features`](super::softmax_kernel_features)) or features of positions (cosFormer,
    /// [`cosine_features`](super::cosine_features)); or there is no map. With a denominator it is the caller who sees to it that no sum of scores is near 0.
    Given,
    /// A function of each channel, a row of the table of [`Activation`]s: [`Activation::EluPlusOne`] (arXiv 2006.16236),
    /// [`Activation::Relu`], [`Activation::SquaredRelu`], [`Activation::Exp`]. With a denominator it must be one that is never negative.
    Elementwise(Activation),
    /// A function of each channel of your own, in WGSL. With a denominator it must be one that says of itself that it is never negative.
    Custom(CustomFeature),
    /// Softmax of the channels of each row.
    SoftmaxOfChannels,
    /// Of keys alone: softmax of each channel over all times, so that with [`FeatureMap::SoftmaxOfChannels`] of queries no denominator is needed
    /// (efficient attention, arXiv 1812.01243, equation 5). Every query sees every key then: neither a causal rule nor lengths, segments or
    /// a state fit.
    SoftmaxOverTime,
}

impl FeatureMap {
    /// The function that is applied to each channel as rows are read: none where [`FeatureMap::applied`] has done it.
    pub(super) fn as_read(&self, is_applied: bool) -> Activation {
        match self {
            Self::Elementwise(function) if !is_applied => *function,
            _ => Activation::Identity,
        }
    }

    /// `x: [batch, time, heads, channels]` with those maps applied that are ops of their own; where `whole`, with any.
    pub(super) fn applied(&self, graph: &mut Graph, x: Value, whole: bool) -> Result<Value> {
        match self {
            Self::Elementwise(function) if whole => activate(graph, x, *function),
            Self::Given | Self::Elementwise(_) => Ok(x),
            Self::Custom(feature) => feature.append(graph, x),
            Self::SoftmaxOfChannels => softmax(graph, x),
            Self::SoftmaxOverTime => {
                let by_channel = transpose(graph, x, &[0, 2, 3, 1])?;
                let weights = softmax(graph, by_channel)?;
                transpose(graph, weights, &[0, 3, 1, 2])
            }
        }
    }

    /// The map as an error names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Elementwise(function) => format!("{function:?}"),
            Self::Custom(feature) => feature.label(),
            other => format!("{other:?}"),
        }
    }

    pub(super) fn is_never_negative(&self) -> bool {
        use Activation::{EluPlusOne, Exp, Relu, Relu6, Sigmoid, Softplus, Square, SquaredRelu};
        match self {
            Self::Given | Self::SoftmaxOfChannels | Self::SoftmaxOverTime => true,
            Self::Custom(feature) => feature.is_never_negative(),
            Self::Elementwise(function) => {
                matches!(
                    function,
                    EluPlusOne | Exp | Relu | Relu6 | Sigmoid | Softplus | Square | SquaredRelu
                )
            }
        }
    }
}
