//! A convolution that is added to a layer's result.

use super::{CentredConv1d, LayerNorm, Layout};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{self, Activation};
use crate::weights::Scope;

/// `norm(x + f(conv(source)))`: what a convolution along time makes of one sequence, added to another of the same shape. DeBERTa's second version
/// has one of the embeddings behind its first layer (He et al., arXiv 2111.09543).
#[derive(Clone, Debug)]
pub struct ConvResidual {
    conv: CentredConv1d,
    activation: Activation,
    norm: LayerNorm,
}

impl ConvResidual {
    /// Declares `conv` and `LayerNorm` under `scope`, of `width` channels in so many groups. Fails as [`CentredConv1d::declare_in_groups`] does.
    pub fn declare(
        scope: &mut Scope<'_>,
        [width, kernel, groups]: [usize; 3],
        activation: Activation,
        eps: f32,
    ) -> Result<Self> {
        let conv = CentredConv1d::declare_in_groups(&mut scope.at("conv"), width, width, kernel, groups)?;
        Ok(Self { conv, activation, norm: LayerNorm::declare(&mut scope.at("LayerNorm"), width, eps)? })
    }

    /// The layer's result for `source` and `x`, both `[batch, time, width]` and laid out alike. Fails as its parts do.
    pub fn record(&self, graph: &mut Graph, source: Value, x: Value, layout: &Layout) -> Result<Value> {
        let convolved = self.conv.record(graph, source, layout)?;
        let added = ops::activate(graph, convolved, self.activation)?;
        self.norm.record(graph, added, Some(x))
    }
}
