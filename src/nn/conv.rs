//! Convolutions along time with one kernel for all positions.

use super::{Layout, Mixer, Recorder, next_memory, parameter, refuse_memory};
use crate::graph::{Graph, Value};
use crate::ops::{self, concat};
use crate::tensor::TensorDesc;
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const CAUSAL: &str = "causal convolution";
const CENTRED: &str = "centred convolution";

/// A convolution along time that sees a position and those before it: `weight: [out, in / groups, kernel]`, the last place of the kernel on the
/// position itself, `bias: [out]`. PyTorch's `Conv1d` after padding the front with `dilation (kernel - 1)` zeros, with its weights' layout.
#[derive(Clone, Debug)]
pub struct CausalConv1d {
    weight: Weight,
    bias: Weight,
    groups: usize,
    dilation: usize,
}

impl CausalConv1d {
    /// Declares the layer's weights under `scope`. Fails when the kernel is 0.
    pub fn declare(scope: &mut Scope<'_>, inner: usize, out: usize, kernel: usize) -> Result<Self> {
        Self::declare_in_groups(scope, inner, out, kernel, 1)
    }

    /// [`CausalConv1d::declare`] for channels in `groups`, one behind another, each of which sees its own alone; as many as `inner` make it a
    /// depthwise convolution. Fails also when the groups do not divide both numbers of channels.
    pub fn declare_in_groups(
        scope: &mut Scope<'_>,
        inner: usize,
        out: usize,
        kernel: usize,
        groups: usize,
    ) -> Result<Self> {
        if kernel == 0 {
            return Err(Error::new(ErrorKind::Argument, CAUSAL, "kernel")
                .expecting("at least 1")
                .but_found(0));
        }
        check_groups(CAUSAL, inner, out, groups)?;
        let weight = scope.weight("weight", [out, inner / groups, kernel])?;
        Ok(Self { weight, bias: scope.weight("bias", [out])?, groups, dilation: 1 })
    }

    /// The same layer with its places of the kernel so many positions apart. Fails when that is 0.
    pub fn dilated(self, dilation: usize) -> Result<Self> {
        if dilation == 0 {
            return Err(Error::new(ErrorKind::Argument, CAUSAL, "dilation")
                .expecting("at least 1")
                .but_found(0));
        }
        Ok(Self { dilation, ..self })
    }

    /// `y_t = bias + sum_j weight[.., j] x_(t - dilation (kernel - 1 - j))` for `x: [batch, time, in]`, with zeros before the first position:
    /// `[batch, time, out]`.
    ///
    /// Fails when `x` is not of that shape.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        self.convolve(graph, x, self.reach(graph, x)?, None)
    }

    /// [`CausalConv1d::record`] of the next positions of a stream, `x: [batch, time, in]`: what it reads before them is kept from run to run,
    /// under the weight's name, and at first zeros. A stream that is read in pieces gives what it gives as a whole.
    ///
    /// Fails when `x` is not of that shape, and when the layer is recorded twice.
    pub fn record_next(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let reach = self.reach(graph, x)?;
        if reach == 0 {
            return self.convolve(graph, x, 0, None);
        }
        let seen = behind_tail(graph, self.weight.name(), x, reach)?;
        self.convolve(graph, seen, 0, None)
    }

    /// Positions before its own that it sees. Fails when `x` is not `[batch, time, in]`.
    fn reach(&self, graph: &Graph, x: Value) -> Result<usize> {
        let [_, kernel] = extents(CAUSAL, graph, x, &self.weight, self.groups)?;
        Ok((kernel - 1) * self.dilation)
    }

    fn convolve(&self, graph: &mut Graph, x: Value, before: usize, segments: Option<Value>) -> Result<Value> {
        let spec = ops::Conv1d::new().dilation(self.dilation).padding(before, 0).groups(self.groups);
        convolve(graph, x, [&self.weight, &self.bias], spec, segments)
    }
}

/// A convolution along time with the middle of its kernel on the position itself: `weight: [out, in, kernel]` of odd kernel, `bias: [out]`.
///
/// PyTorch's `Conv1d` with padding on both sides, with its weights' layout.
#[derive(Clone, Debug)]
pub struct CentredConv1d {
    weight: Weight,
    bias: Weight,
    groups: usize,
}

impl CentredConv1d {
    /// Declares the layer's weights under `scope`. Fails when the kernel is even.
    pub fn declare(scope: &mut Scope<'_>, inner: usize, out: usize, kernel: usize) -> Result<Self> {
        Self::declare_in_groups(scope, inner, out, kernel, 1)
    }

    /// [`CentredConv1d::declare`] for channels in `groups`, one behind another, each of which sees its own alone: `weight: [out, in / groups,
    /// kernel]`. Fails also when the groups do not divide both numbers of channels.
    pub fn declare_in_groups(
        scope: &mut Scope<'_>,
        inner: usize,
        out: usize,
        kernel: usize,
        groups: usize,
    ) -> Result<Self> {
        if kernel.is_multiple_of(2) {
            return Err(Error::new(ErrorKind::Argument, CENTRED, "kernel")
                .expecting("an odd number")
                .but_found(kernel));
        }
        check_groups(CENTRED, inner, out, groups)?;
        let weight = scope.weight("weight", [out, inner / groups, kernel])?;
        Ok(Self { weight, bias: scope.weight("bias", [out])?, groups })
    }

    /// `y_t = bias + sum_j weight[.., j] x_(t + j - kernel / 2)` for `x: [batch, time, in]`, with zeros outside each sequence: `[batch, time,
    /// out]`.
    ///
    /// Fails when `x` is not of that shape, and for parts of streams.
    pub fn record(&self, graph: &mut Graph, x: Value, layout: &Layout) -> Result<Value> {
        let [_, kernel] = extents(CENTRED, graph, x, &self.weight, self.groups)?;
        let x = layout.without_padding(CENTRED, graph, x)?;
        let spec = ops::Conv1d::new().padding(kernel / 2, kernel / 2).groups(self.groups);
        convolve(graph, x, [&self.weight, &self.bias], spec, layout.segments())
    }
}

impl Mixer for CausalConv1d {
    /// [`CausalConv1d::record`] of each sequence, or [`CausalConv1d::record_next`] of segments of streams. Padding behind a sequence needs no mask,
    /// as nothing before it sees it.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(CAUSAL, memory)?;
        match *layout {
            Layout::Rows | Layout::Padded { .. } => self.record(recorder, x),
            Layout::Packed { segments, .. } => {
                let reach = self.reach(recorder, x)?;
                self.convolve(recorder, x, reach, Some(segments))
            }
            Layout::Recurrent => self.record_next(recorder, x),
            Layout::Cached { .. } | Layout::Stateful { .. } => {
                Err(Error::new(ErrorKind::Unsupported, CAUSAL, "layout")
                    .expecting("whole sequences, or segments of streams")
                    .but_found(layout.kind().name()))
            }
        }
    }
}

impl Mixer for CentredConv1d {
    /// [`CentredConv1d::record`].
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(CENTRED, memory)?;
        self.record(recorder, x, layout)
    }
}

/// Time and kernel. Fails when `x` is not `[batch, time, in]`.
fn extents(op: &'static str, graph: &Graph, x: Value, weight: &Weight, groups: usize) -> Result<[usize; 2]> {
    let [_, inner, kernel] = *weight.shape().dims() else {
        return Err(Error::new(ErrorKind::Shape, op, "weight")
            .expecting("[out, in, kernel]")
            .but_found(weight.shape()));
    };
    let (desc, inner) = (graph.desc(x)?, inner * groups);
    match *desc.shape.dims() {
        [_, time, width] if width == inner => Ok([time, kernel]),
        _ => Err(Error::new(ErrorKind::Shape, op, "x")
            .expecting(format!("[batch, time, {inner}]"))
            .but_found(desc)),
    }
}

/// The last `reach` positions of a stream with the next ones, `x: [batch, time, width]`, behind them: `[batch, reach + time, width]`. The state
/// `NAME.tail` keeps the last ones for the next run; at first they are zeros.
pub(super) fn behind_tail(graph: &mut Graph, name: &str, x: Value, reach: usize) -> Result<Value> {
    let desc = graph.desc(x)?;
    let [batch, width] = [0, 2].map(|axis| desc.shape.dims()[axis]);
    let desc = TensorDesc::new(desc.dtype, [batch, reach, width]);
    let tail = graph.state(&format!("{name}.tail"), desc)?;
    let seen = concat(graph, &[tail, x], 1)?;
    let next = next_memory(graph, Some(tail), x, reach)?;
    graph.update(tail, next)?;
    Ok(seen)
}

/// Refuses groups that do not divide both numbers of channels.
pub(super) fn check_groups(op: &'static str, inner: usize, out: usize, groups: usize) -> Result<()> {
    if groups > 0 && inner.is_multiple_of(groups) && out.is_multiple_of(groups) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, op, "groups")
        .expecting(format!("a divisor of {inner} and {out} channels"))
        .but_found(groups))
}

/// The convolution of `x` by weights that are declared, of sequences that lie behind one another if there are segments.
fn convolve(
    graph: &mut Graph,
    x: Value,
    [weight, bias]: [&Weight; 2],
    spec: ops::Conv1d,
    segments: Option<Value>,
) -> Result<Value> {
    let dtype = graph.desc(x)?.dtype;
    let weight = parameter(graph, weight, dtype)?;
    let spec = spec.bias(parameter(graph, bias, dtype)?);
    ops::conv1d(graph, x, weight, &segments.map_or(spec, |segments| spec.segments(segments)))
}
