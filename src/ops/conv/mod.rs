//! Convolutions along time and in planes, channels last, with weights stored as PyTorch stores them.
//!
//! | op | what is multiplied and summed |
//! |---|---|
//! | [`conv1d`], [`conv2d`] | the channels of a group with the taps of the kernel around a place |
//! | [`dynamic_conv`] | the channels of a head, with a kernel per position |
//! | [`group_linear`] | the channels of a group with each other, at each place alone |
//! | `conv/dense` | what these record for groups of several channels: a matrix product, on the tiles of [`matmul`](super::matmul()) |
//! | `conv/depthwise` | what they record where each channel of the result reads one of the input |
//!
//! Reach and gradients are explained in `reach.rs`.

#[cfg(feature = "check")]
mod cases;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod dynamic;
mod group_linear;
mod inputs;
mod reach;

pub use dynamic::dynamic_conv;
pub use group_linear::group_linear;

use crate::graph::{Graph, Value};
use crate::ops::contract::Contract;
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};
use depthwise::Channels;
use reach::{Along, Plane, Reach};

use super::elementwise::{Activation, activate};
use super::{reshape, transpose};

/// Settings of [`conv1d`]: a stride and a dilation of 1, no padding, one group, no bias, no activation.
#[derive(Clone, Copy, Debug)]
pub struct Conv1d {
    along: Along,
    groups: usize,
    activation: Activation,
    bias: Option<Value>,
    segments: Option<Value>,
}

/// Settings of [`conv2d`]: strides and dilations of 1, no padding, one group, no bias, no activation.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    down: Along,
    across: Along,
    groups: usize,
    activation: Activation,
    bias: Option<Value>,
}

impl Default for Conv1d {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Conv2d {
    fn default() -> Self {
        Self::new()
    }
}

impl Conv1d {
    /// Stride and dilation 1, no padding, one group, no bias, no activation.
    pub fn new() -> Self {
        Self { along: Along::PLAIN, groups: 1, activation: Activation::Identity, bias: None, segments: None }
    }

    /// The stride: positions from the window of one result to that of the next, at least 1.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.along.stride = stride;
        self
    }

    /// The dilation: positions from one tap of the kernel to the next, at least 1.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.along.dilation = dilation;
        self
    }

    /// Zeros before the first place and behind the last.
    #[must_use]
    pub fn padding(mut self, before: usize, behind: usize) -> Self {
        self.along.padding = [before, behind];
        self
    }

    /// A grouped convolution: channels are divided into `groups` consecutive groups, and each result reads the channels of its own group.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Adds `bias: [out]`.
    #[must_use]
    pub fn bias(mut self, bias: Value) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Applies `activation` to the sums with the bias, before they are stored where groups have several channels.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Packed sequences: `i32 [batch, time]` numbers them, and a tap that leaves the sequence of its position reads 0. Only for
    /// convolutions that give as many places as they read, with a stride of 1.
    #[must_use]
    pub fn segments(mut self, segments: Value) -> Self {
        self.segments = Some(segments);
        self
    }
}

impl Conv2d {
    /// Strides and dilations 1, no padding, one group, no bias, no activation.
    pub fn new() -> Self {
        Self {
            down: Along::PLAIN,
            across: Along::PLAIN,
            groups: 1,
            activation: Activation::Identity,
            bias: None,
        }
    }

    /// Strides down and across, each at least 1.
    #[must_use]
    pub fn stride(mut self, [down, across]: [usize; 2]) -> Self {
        (self.down.stride, self.across.stride) = (down, across);
        self
    }

    /// Dilations down and across: positions from one tap of the kernel to the next, each at least 1.
    #[must_use]
    pub fn dilation(mut self, [down, across]: [usize; 2]) -> Self {
        (self.down.dilation, self.across.dilation) = (down, across);
        self
    }

    /// Zeros above and below, left and right.
    #[must_use]
    pub fn padding(mut self, down: [usize; 2], across: [usize; 2]) -> Self {
        (self.down.padding, self.across.padding) = (down, across);
        self
    }

    /// A grouped convolution: channels are divided into `groups` consecutive groups, and each result reads the channels of its own group.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Adds `bias: [out]`.
    #[must_use]
    pub fn bias(mut self, bias: Value) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Applies `activation` to the sums with the bias, before they are stored where groups have several channels.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
}

/// The convolution of `x: [batch, time, in]` along time by `weight: [out, in / groups, kernel]`, as PyTorch's `Conv1d` defines it (a
/// cross-correlation): `[batch, (time + padding - dilation (kernel - 1) - 1) / stride + 1, out]`, rounded down.
///
/// ```text
/// y[b, t, o] = f(bias[o] + sum_{c, j} weight[o, c, j] x[b, t stride + j dilation - before, c of o's group])        0 outside of x
/// ```
///
/// All arguments share one float type; sums are f32 whatever the storage. The kernel may be longer than x, as far as padding allows for it. Where
/// each channel is a group of its own it is a depthwise convolution, with a multiplier where there are more channels of the result. Weights are
/// laid out anew in each run, which reads and writes them once. The gradient of a convolution with a stride multiplies zeros, too: it takes as
/// long as one without.
///
/// Fails when shapes or types differ, the groups do not divide both numbers of channels, a stride, a dilation or the kernel is 0, no place has
/// all of its taps within x and padding, or segments are given where places of result and x differ.
pub fn conv1d(graph: &mut Graph, x: Value, weight: Value, spec: &Conv1d) -> Result<Value> {
    const OP: &str = "conv1d";
    let (desc, weights) = (graph.desc(x)?.clone(), graph.desc(weight)?.clone());
    let [batch, time, inner] = *desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, OP, "x").expecting("[batch, time, in]").but_found(desc));
    };
    let [out, _, kernel] = *weights.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, OP, "weight")
            .expecting("[out, in / groups, kernel]")
            .but_found(weights));
    };
    check(OP, graph, [&desc, &weights], [inner, out, spec.groups], spec.bias)?;
    let plane = Plane { down: Reach::ONE, across: Reach::new(OP, spec.along, kernel, time)? };
    if let Some(segments) = spec.segments {
        inputs::check_segments(&Contract::new(OP), &plane, batch, graph.desc(segments)?)?;
    }
    let x = reshape(graph, x, [batch, 1, time, inner])?;
    let optional = [spec.bias, spec.segments];
    let y = record(graph, [x, weight], plane, (spec.groups, spec.activation), optional)?;
    reshape(graph, y, [batch, plane.across.to, out])
}

/// The convolution of `x: [batch, height, width, in]` by `weight: [out, in / groups, kernel height, kernel width]`, as PyTorch's `Conv2d` defines it
/// but with channels last: `[batch, height, width, out]`, each extent as that of [`conv1d`] along time.
///
/// With strides as large as the kernel and no padding it embeds patches (Dosovitskiy et al., arXiv 2010.11929). Fails as [`conv1d`] does.
pub fn conv2d(graph: &mut Graph, x: Value, weight: Value, spec: &Conv2d) -> Result<Value> {
    const OP: &str = "conv2d";
    let (desc, weights) = (graph.desc(x)?.clone(), graph.desc(weight)?.clone());
    let [_, height, width, inner] = *desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, OP, "x")
            .expecting("[batch, height, width, in]")
            .but_found(desc));
    };
    let [out, _, kernel_down, kernel_across] = *weights.shape.dims() else {
        let expected = "[out, in / groups, kernel height, kernel width]";
        return Err(Error::new(ErrorKind::Shape, OP, "weight").expecting(expected).but_found(weights));
    };
    check(OP, graph, [&desc, &weights], [inner, out, spec.groups], spec.bias)?;
    let down = Reach::new(OP, spec.down, kernel_down, height)?;
    let across = Reach::new(OP, spec.across, kernel_across, width)?;
    record(graph, [x, weight], Plane { down, across }, (spec.groups, spec.activation), [spec.bias, None])
}

/// Refuses types, numbers of channels and groups that do not fit.
fn check(
    op: &'static str,
    graph: &Graph,
    [x, weight]: [&TensorDesc; 2],
    [inner, out, groups]: [usize; 3],
    bias: Option<Value>,
) -> Result<()> {
    let refused = |kind, argument| Error::new(kind, op, argument);
    if !x.dtype.is_float() {
        return Err(refused(ErrorKind::Dtype, "x").expecting("f32 or f16").but_found(x.dtype));
    }
    if weight.dtype != x.dtype {
        return Err(refused(ErrorKind::Dtype, "weight").expecting(x.dtype).but_found(weight.dtype));
    }
    if groups == 0 || !inner.is_multiple_of(groups) || !out.is_multiple_of(groups) {
        let expected = format!("a divisor of {inner} and {out} channels");
        return Err(refused(ErrorKind::Argument, "groups").expecting(expected).but_found(groups));
    }
    if inner == 0 || out == 0 {
        return Err(refused(ErrorKind::Shape, "x")
            .expecting("channels")
            .but_found(format!("{inner} to {out}")));
    }
    if weight.shape.dims()[1] != inner / groups {
        let expected = format!("{} channels of a group", inner / groups);
        return Err(refused(ErrorKind::Shape, "weight").expecting(expected).but_found(weight));
    }
    if let Some(bias) = bias {
        let (found, expected) = (graph.desc(bias)?, TensorDesc::new(x.dtype, [out]));
        if *found != expected {
            return Err(refused(ErrorKind::Shape, "bias").expecting(expected).but_found(found));
        }
    }
    Ok(())
}

/// The op for `x: [batch, down, across, in]` and weights `[out, in / groups, ..kernel]`.
fn record(
    graph: &mut Graph,
    [x, weight]: [Value; 2],
    plane: Plane,
    (groups, activation): (usize, Activation),
    [bias, segments]: [Option<Value>; 2],
) -> Result<Value> {
    let [out, inner] = [0, 1].map(|axis| graph.desc(weight).map(|desc| desc.shape.dims()[axis]));
    let (out, inner, taps) = (out?, inner?, plane.taps());
    // One channel for all of the result is a product like any other.
    if inner == 1 && groups > 1 {
        let weight = reshape(graph, weight, [out, taps])?;
        let weight = transpose(graph, weight, &[1, 0])?;
        let channels = Channels { multiplier: out / groups, gathers: false };
        let sums = depthwise::depthwise(graph, [x, weight], plane, channels, [bias, segments])?;
        return activate(graph, sums, activation);
    }
    let weight = reshape(graph, weight, [groups, out / groups, inner, taps])?;
    let weight = transpose(graph, weight, &[0, 3, 2, 1])?;
    dense::dense(graph, x, weight, &dense::Spec { plane, activation, bias, segments })
}
