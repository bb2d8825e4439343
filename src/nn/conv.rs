//! Convolutions along time.

use std::ops::Range;

use super::{Layout, Mixer, Recorder, check_one_sequence_a_row, parameter, refuse_memory};
use crate::graph::{Graph, Value};
use crate::ops::{
    self, concat, constant, equal, fill, less, linear, pad, reshape, roll, select, slice, transpose,
};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const CAUSAL: &str = "causal convolution";
const CENTRED: &str = "centred convolution";

/// A convolution along time that sees a position and those before it: `weight: [out, in, kernel]`, the last place of the kernel on the
/// position itself, `bias: [out]`. PyTorch's `Conv1d` after padding the front with `kernel - 1` zeros, with its weights' layout.
///
/// It is recorded as one dense layer over `kernel` shifted copies of its input side by side, which take `kernel` times the input's
/// memory, or `time` times if that is less.
#[derive(Clone, Debug)]
pub struct CausalConv1d {
    weight: Weight,
    bias: Weight,
}

impl CausalConv1d {
    /// Declares the layer's weights under `scope`. Fails when the kernel is 0.
    pub fn declare(scope: &mut Scope<'_>, inner: usize, out: usize, kernel: usize) -> Result<Self> {
        if kernel == 0 {
            return Err(Error::new(ErrorKind::Argument, CAUSAL, "kernel")
                .expecting("at least 1")
                .but_found(0));
        }
        Ok(Self { weight: scope.weight("weight", [out, inner, kernel])?, bias: scope.weight("bias", [out])? })
    }

    /// `y_t = bias + sum_j weight[.., j] x_(t - kernel + 1 + j)` for `x: [batch, time, in]`, with zeros before the first position:
    /// `[batch, time, out]`.
    ///
    /// Fails when `x` is not of that shape.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let [time, kernel] = extents(CAUSAL, graph, x, &self.weight, 1)?;
        // Places before the sequence's length meet nothing but zeros.
        let places = kernel.min(time.max(1));
        let padded = pad(graph, x, 1, places - 1, time + places - 1)?;
        let shifted = (0..places)
            .map(|place| slice(graph, padded, 1, place..place + time))
            .collect::<Result<Vec<_>>>()?;
        let out = self.weight.shape().dims()[0];
        dense(graph, &shifted, [0..out, kernel - places..kernel], [&self.weight, &self.bias])
    }
}

/// A convolution along time with the middle of its kernel on the position itself: `weight: [out, in, kernel]` of odd kernel, `bias: [out]`.
/// PyTorch's `Conv1d` with padding on both sides, with its weights' layout. Memory is as that of [`CausalConv1d`].
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
        if groups == 0 || !inner.is_multiple_of(groups) || !out.is_multiple_of(groups) {
            return Err(Error::new(ErrorKind::Argument, CENTRED, "groups")
                .expecting(format!("a divisor of {inner} and {out} channels"))
                .but_found(groups));
        }
        let weight = scope.weight("weight", [out, inner / groups, kernel])?;
        Ok(Self { weight, bias: scope.weight("bias", [out])?, groups })
    }

    /// `y_t = bias + sum_j weight[.., j] x_(t + j - kernel / 2)` for `x: [batch, time, in]`, with zeros outside each sequence: `[batch, time,
    /// out]`.
    ///
    /// Fails when `x` is not of that shape, and for parts of streams.
    pub fn record(&self, graph: &mut Graph, x: Value, layout: &Layout) -> Result<Value> {
        let [time, kernel] = extents(CENTRED, graph, x, &self.weight, self.groups)?;
        let x = match *layout {
            Layout::Rows | Layout::Packed { .. } => x,
            Layout::Padded { lengths } => without_padding(graph, x, lengths)?,
            Layout::Cached { .. } | Layout::Recurrent => {
                return Err(Error::new(ErrorKind::Unsupported, CENTRED, "layout")
                    .expecting("whole sequences")
                    .but_found("parts of streams"));
            }
        };
        let half = kernel / 2;
        let padded = pad(graph, x, 1, half, time + 2 * half)?;
        let mut shifted = Vec::with_capacity(kernel);
        for place in 0..kernel {
            let mut part = slice(graph, padded, 1, place..place + time)?;
            if let (Layout::Packed { segments, .. }, true) = (*layout, place != half) {
                // What comes back at the other end meets zeros of the padding.
                let theirs = roll(graph, segments, 1, half as isize - place as isize)?;
                let is_own = equal(graph, theirs, segments)?;
                part = keep(graph, is_own, part)?;
            }
            shifted.push(part);
        }
        let [out, inner, _] = [0, 1, 2].map(|axis| self.weight.shape().dims()[axis]);
        let mut of_groups = Vec::with_capacity(self.groups);
        for group in 0..self.groups {
            let own = |x: &Value| slice(graph, *x, 2, group * inner..(group + 1) * inner);
            let own = shifted.iter().map(own).collect::<Result<Vec<_>>>()?;
            let rows = out / self.groups;
            let rows = group * rows..(group + 1) * rows;
            of_groups.push(dense(graph, &own, [rows, 0..kernel], [&self.weight, &self.bias])?);
        }
        concat(graph, &of_groups, 2)
    }
}

impl Mixer for CausalConv1d {
    /// [`CausalConv1d::record`] of a row for each sequence.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(CAUSAL, memory)?;
        check_one_sequence_a_row(CAUSAL, layout)?;
        self.record(recorder, x)
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

/// `x: [batch, time, width]` with zeros behind each item's length, `lengths: i32 [batch]`.
fn without_padding(graph: &mut Graph, x: Value, lengths: Value) -> Result<Value> {
    let (batch, time) = (graph.desc(x)?.shape.dims()[0], graph.desc(x)?.shape.dims()[1]);
    let places = constant(graph, HostTensor::i32([1, time], (0..time as i32).collect())?)?;
    let lengths = reshape(graph, lengths, [batch, 1])?;
    let is_token = less(graph, places, lengths)?;
    keep(graph, is_token, x)
}

/// `x: [batch, time, width]` where `condition: [batch, time]` is not 0, else 0.
fn keep(graph: &mut Graph, condition: Value, x: Value) -> Result<Value> {
    let dims = graph.desc(condition)?.shape.dims().to_vec();
    let condition = reshape(graph, condition, dims.into_iter().chain([1]).collect::<Vec<_>>())?;
    let zero = fill(graph, TensorDesc::new(graph.desc(x)?.dtype, [1]), 0.0)?;
    select(graph, condition, x, zero)
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

/// One dense layer over shifted copies of the input side by side, by the weights of those `rows` and those `places` of the kernel.
fn dense(
    graph: &mut Graph,
    shifted: &[Value],
    [rows, places]: [Range<usize>; 2],
    [weight, bias]: [&Weight; 2],
) -> Result<Value> {
    let (out, inner) = (rows.len(), weight.shape().dims()[1]);
    let beside = concat(graph, shifted, 2)?;
    let dtype = graph.desc(beside)?.dtype;
    let weight = parameter(graph, weight, dtype)?;
    let count = places.len();
    let weight = slice(graph, weight, 0, rows.clone())?;
    let weight = slice(graph, weight, 2, places)?;
    let weight = transpose(graph, weight, &[0, 2, 1])?;
    let weight = reshape(graph, weight, [out, count * inner])?;
    let bias = parameter(graph, bias, dtype)?;
    let bias = slice(graph, bias, 0, rows)?;
    linear(graph, beside, weight, &ops::Linear::new().bias(bias))
}
