//! ConvBERT's mixed attention (Jiang et al., "ConvBERT: Improving BERT with Span-based Dynamic Convolution", arXiv 2008.02496, section 3.3).

use super::{
    Layout, Linear, Mixer, Projections, Recorder, join_heads, parameter, refuse_memory, split_heads,
};
use crate::graph::Value;
use crate::ops::attention::{Blocked, blocked};
use crate::ops::{self, Activation};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "span convolution";

/// Half of the heads attend; the others are convolutions whose kernels are made of the query and a span of positions around it:
///
/// ```text
/// span = pointwise(depthwise(x))        kernel = softmax over taps of make(span * query)        y_t = sum_j kernel_t[h, j] value'_(t + j - taps / 2)
/// ```
///
/// The result is all attention heads, then all convolution heads, without a layer that joins them. As in the paper's code, and in what checkpoints
/// were trained with, the convolution reads padding: positions next to the end of a shorter sequence of a padded batch get another result than when
/// the sequence is run alone.
#[derive(Clone, Debug)]
pub struct SpanConvAttention {
    projections: Projections,
    depthwise: Weight,
    pointwise: Weight,
    span_bias: Weight,
    kernels: Linear,
    values: Linear,
    heads: usize,
    taps: usize,
}

impl SpanConvAttention {
    /// Declares the layers under `scope`, for `width` channels of which `inner` go through the attention's `heads`, and as many through the
    /// convolution, with `taps` of it. Names are those of Hugging Face's ConvBERT.
    ///
    /// Fails when the heads do not divide the inner channels, or the taps are an even number.
    pub fn declare(
        scope: &mut Scope<'_>,
        [width, inner]: [usize; 2],
        heads: usize,
        taps: usize,
    ) -> Result<Self> {
        if heads == 0 || !inner.is_multiple_of(heads) {
            return Err(Error::new(ErrorKind::Argument, NAME, "heads")
                .expecting(format!("a divisor of {inner} channels"))
                .but_found(heads));
        }
        if taps.is_multiple_of(2) {
            return Err(Error::new(ErrorKind::Argument, NAME, "taps")
                .expecting("an odd number")
                .but_found(taps));
        }
        let mut dense = |name, from, to| Linear::declare(&mut scope.at(name), from, to);
        let layers =
            [dense("query", width, inner)?, dense("key", width, inner)?, dense("value", width, inner)?];
        let (kernels, values) =
            (dense("conv_kernel_layer", inner, heads * taps)?, dense("conv_out_layer", width, inner)?);
        let mut span = scope.at("key_conv_attn_layer");
        Ok(Self {
            projections: Projections::Apart(Box::new(layers)),
            depthwise: span.weight("depthwise.weight", [width, 1, taps])?,
            pointwise: span.weight("pointwise.weight", [inner, width, 1])?,
            span_bias: span.weight("bias", [inner, 1])?,
            kernels,
            values,
            heads,
            taps,
        })
    }

    /// What kernels are made of: a span of positions, `[batch, time, inner]`.
    fn span(&self, recorder: &mut Recorder<'_>, x: Value, segments: Option<Value>) -> Result<Value> {
        let [inner, width, _] = [0, 1, 2].map(|axis| self.pointwise.shape().dims()[axis]);
        let dtype = recorder.desc(x)?.dtype;
        let depthwise = parameter(recorder, &self.depthwise, dtype)?;
        let half = self.taps / 2;
        let spec = ops::Conv1d::new().padding(half, half).groups(width);
        let spec = segments.map_or(spec, |segments| spec.segments(segments));
        let x = ops::conv1d(recorder, x, depthwise, &spec)?;
        let pointwise = parameter(recorder, &self.pointwise, dtype)?;
        let pointwise = ops::reshape(recorder, pointwise, [inner, width])?;
        let bias = parameter(recorder, &self.span_bias, dtype)?;
        let bias = ops::reshape(recorder, bias, [inner])?;
        ops::linear(recorder, x, pointwise, &ops::Linear::new().bias(bias))
    }

    /// Kernels of each position, `[batch, time, heads, taps]`, and what the convolution heads make of them, `[batch, time, heads, size]`, for
    /// `query: [batch, time, inner]`.
    fn convolve(
        &self,
        recorder: &mut Recorder<'_>,
        [x, query]: [Value; 2],
        segments: Option<Value>,
    ) -> Result<[Value; 2]> {
        let span = self.span(recorder, x, segments)?;
        let joined = ops::multiply(recorder, span, query)?;
        let logits = self.kernels.record(recorder, joined, Activation::Identity)?;
        let [batch, time] = [0, 1].map(|axis| recorder.desc(logits).map(|desc| desc.shape.dims()[axis]));
        let logits = ops::reshape(recorder, logits, [batch?, time?, self.heads, self.taps])?;
        let kernels = ops::softmax(recorder, logits)?;
        let values = self.values.record(recorder, x, Activation::Identity)?;
        let mixed = ops::dynamic_conv(recorder, values, kernels, self.taps / 2, segments)?;
        Ok([kernels, split_heads(recorder, mixed, self.heads)?])
    }

    /// [`Mixer::record`] without memory, and the kernels of each position, `[batch, time, heads, taps]`.
    pub fn record_with_kernels(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        layout: &Layout,
    ) -> Result<[Value; 2]> {
        layout.check_whole(NAME)?;
        let [query, key, value] = self.projections.record(recorder, x, self.heads)?;
        let attended = blocked(recorder, query, key, value, &layout.restrict(Blocked::new()))?;
        let query = join_heads(recorder, query)?;
        let [kernels, mixed] = self.convolve(recorder, [x, query], layout.segments())?;
        let both = ops::concat(recorder, &[attended, mixed], 2)?;
        Ok([join_heads(recorder, both)?, kernels])
    }
}

impl Mixer for SpanConvAttention {
    /// `[batch, time, 2 inner]`. Fails for parts of streams.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        Ok(self.record_with_kernels(recorder, x, layout)?[0])
    }
}
