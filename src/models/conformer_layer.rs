//! A Conformer's layer under the names that files of Wav2Vec2-Conformer have.

use crate::Result;
use crate::nn::{
    BatchNorm, ConformerAttention, ConformerBlock, ConformerConv, ConformerPositions, FeedForward, LayerNorm,
    Linear,
};
use crate::ops::{Activation, Pairing, Rotary};
use crate::weights::Scope;

/// Added to variances: PyTorch's default, of which configurations have no say.
pub(super) const EPS: f32 = 1e-5;

/// Extents and settings of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConformerLayer {
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Channels between the dense layers of a feed-forward network.
    pub(super) intermediate: usize,
    /// Taps of the depthwise convolution.
    pub(super) kernel: usize,
    /// Of feed-forward networks and of the convolution.
    pub(super) activation: Activation,
    pub(super) positions: Positions,
    /// Of a causal layer, positions before its own that a query sees.
    pub(super) left_context: Option<usize>,
}

/// How attention knows positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Positions {
    Relative,
    Rotary { base: f64 },
    None,
}

impl ConformerLayer {
    /// Declares a layer under `scope`.
    pub(super) fn declare(&self, scope: &mut Scope<'_>) -> Result<ConformerBlock> {
        let norm = |scope: &mut Scope<'_>, name| LayerNorm::declare(&mut scope.at(name), self.width, EPS);
        let feeding = [
            (norm(scope, "ffn1_layer_norm")?, self.feed_forward(&mut scope.at("ffn1"))?),
            (norm(scope, "ffn2_layer_norm")?, self.feed_forward(&mut scope.at("ffn2"))?),
        ];
        Ok(ConformerBlock {
            feeding,
            attention_norm: norm(scope, "self_attn_layer_norm")?,
            attention: self.attention(&mut scope.at("self_attn"))?,
            conv: self.convolution(&mut scope.at("conv_module"))?,
            norm: norm(scope, "final_layer_norm")?,
        })
    }

    fn feed_forward(&self, scope: &mut Scope<'_>) -> Result<FeedForward> {
        Ok(FeedForward {
            up: Linear::declare(&mut scope.at("intermediate_dense"), self.width, self.intermediate)?,
            gate: None,
            activation: self.activation,
            down: Linear::declare(&mut scope.at("output_dense"), self.intermediate, self.width)?,
        })
    }

    fn attention(&self, scope: &mut Scope<'_>) -> Result<ConformerAttention> {
        let Self { width, heads, left_context, .. } = *self;
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        let layers = [dense("linear_q")?, dense("linear_k")?, dense("linear_v")?];
        let output = dense("linear_out")?;
        let positions = match self.positions {
            Positions::Relative => ConformerPositions::Relative {
                key: Linear::declare_without_bias(&mut scope.at("linear_pos"), width, width)?,
                biases: [
                    scope.weight("pos_bias_u", [heads, width / heads])?,
                    scope.weight("pos_bias_v", [heads, width / heads])?,
                ],
            },
            Positions::Rotary { base } => ConformerPositions::Rotary(Rotary::new(Pairing::Halves).base(base)),
            Positions::None => ConformerPositions::None,
        };
        Ok(ConformerAttention { layers, positions, output, heads, left_context })
    }

    fn convolution(&self, scope: &mut Scope<'_>) -> Result<ConformerConv> {
        let Self { width, kernel, .. } = *self;
        let mut pointwise =
            |name, out| Linear::declare_pointwise_without_bias(&mut scope.at(name), width, out, 1);
        let (expand, reduce) =
            (pointwise("pointwise_conv1", 2 * width)?, pointwise("pointwise_conv2", width)?);
        Ok(ConformerConv {
            norm: LayerNorm::declare(&mut scope.at("layer_norm"), width, EPS)?,
            expand,
            depthwise: scope.weight("depthwise_conv.weight", [width, 1, kernel])?,
            before: if self.left_context.is_some() { kernel - 1 } else { kernel / 2 },
            batch_norm: BatchNorm::declare(&mut scope.at("batch_norm"), width, EPS)?,
            activation: self.activation,
            reduce,
        })
    }
}
