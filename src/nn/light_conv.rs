//! Lightweight and dynamic convolutions (Wu et al., "Pay Less Attention with Lightweight and Dynamic Convolutions", arXiv 1901.10430): depthwise
//! convolutions whose kernels are a softmax over the taps, shared by the channels of a head.

use super::{Layout, Linear, Mixer, Recorder, refuse_memory};
use crate::graph::{Graph, Value};
use crate::ops::{self, Activation, Gate};
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const LIGHT: &str = "lightweight convolution";
const DYNAMIC: &str = "dynamic convolution";
const GATED: &str = "gated convolution";

/// Heads, taps and offset of a kernel, and whether training drops taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapKernel {
    /// Heads, whose channels share a kernel.
    pub heads: usize,
    /// Taps of a kernel.
    pub taps: usize,
    /// Positions before its own that a kernel reads: `taps - 1` of a causal one, `taps / 2` of an encoder's.
    pub before: usize,
    /// Whether training drops taps, at the recorder's rate (DropConnect, section 3.1 of the paper).
    pub drops_taps: bool,
}

/// The same kernels at every position: `weight: [heads, taps]`.
#[derive(Clone, Debug)]
pub struct LightConv {
    weight: Weight,
    kernel: TapKernel,
}

/// Kernels that are made from each position's channels.
#[derive(Clone, Debug)]
pub struct DynamicConv {
    kernels: Linear,
    kernel: TapKernel,
    renormalises: bool,
}

impl TapKernel {
    /// Refuses a kernel without taps, and one that does not reach its own position.
    fn check(&self, op: &'static str) -> Result<()> {
        if self.taps == 0 {
            return Err(Error::new(ErrorKind::Argument, op, "taps").expecting("at least 1").but_found(0));
        }
        if self.before >= self.taps {
            return Err(Error::new(ErrorKind::Argument, op, "before")
                .expecting(format!("less than the {} taps", self.taps))
                .but_found(self.before));
        }
        Ok(())
    }

    /// 1 for each tap of each position that reads its own sequence, else 0: `[batch, time, 1, taps]`, of one item where all are alike.
    fn taps_within(&self, graph: &mut Graph, time: usize, layout: &Layout) -> Result<Value> {
        layout.check_whole(DYNAMIC)?;
        // A number for each sequence, 0 where there is none.
        let numbers = match *layout {
            Layout::Padded { lengths } => {
                let is_token = ops::padding::is_token(graph, lengths, time)?;
                ops::cast(graph, is_token, DType::F32)?
            }
            Layout::Packed { segments, .. } => {
                let segments = ops::cast(graph, segments, DType::F32)?;
                let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
                ops::add(graph, segments, one)?
            }
            _ => ops::fill(graph, TensorDesc::f32([1, time]), 1.0)?,
        };
        let batch = graph.desc(numbers)?.shape.dims()[0];
        let around = ops::pad(graph, numbers, 1, self.before, time + self.taps - 1)?;
        let of_tap = |graph: &mut Graph, tap: usize| {
            let read = ops::slice(graph, around, 1, tap..tap + time)?;
            ops::reshape(graph, read, [batch, time, 1, 1])
        };
        let read = (0..self.taps).map(|tap| of_tap(graph, tap)).collect::<Result<Vec<_>>>()?;
        let read = ops::concat(graph, &read, 3)?;
        let own = ops::reshape(graph, numbers, [batch, time, 1, 1])?;
        ops::equal(graph, read, own)
    }

    /// Channels of a head of `x: [batch, time, channels]`.
    fn size(&self, op: &'static str, graph: &Graph, x: Value) -> Result<[usize; 4]> {
        let desc = graph.desc(x)?;
        match *desc.shape.dims() {
            [batch, time, channels] if self.heads > 0 && channels.is_multiple_of(self.heads) => {
                Ok([batch, time, channels, channels / self.heads])
            }
            _ => Err(Error::new(ErrorKind::Shape, op, "x")
                .expecting(format!("[batch, time, a multiple of {} heads]", self.heads))
                .but_found(desc)),
        }
    }
}

impl LightConv {
    /// Declares `weight: [heads, taps]` under `scope`. Fails when there are no taps, or `before` is not below their number.
    pub fn declare(scope: &mut Scope<'_>, kernel: TapKernel) -> Result<Self> {
        kernel.check(LIGHT)?;
        Ok(Self { weight: scope.weight("weight", [kernel.heads, kernel.taps])?, kernel })
    }

    /// `y[t, c] = sum_j softmax(weight[h(c)])_j x[t + j - before, c]` for `x: [batch, time, channels]`, with zeros outside each sequence.
    ///
    /// Fails when the heads do not divide the channels, and for parts of streams.
    pub fn record(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        let TapKernel { taps, before, drops_taps, .. } = self.kernel;
        let [_, _, channels, size] = self.kernel.size(LIGHT, recorder, x)?;
        let x = layout.without_padding(LIGHT, recorder, x)?;
        let weight = recorder.weight(&self.weight)?;
        let mut weight = ops::softmax(recorder, weight)?;
        if drops_taps {
            weight = recorder.dropout(weight)?;
        }
        let weight = ops::repeat_each(recorder, weight, 0, size)?;
        let weight = ops::reshape(recorder, weight, [channels, 1, taps])?;
        let spec = ops::Conv1d::new().padding(before, taps - 1 - before).groups(channels);
        let spec = layout.segments().map_or(spec, |segments| spec.segments(segments));
        ops::conv1d(recorder, x, weight, &spec)
    }
}

impl DynamicConv {
    /// Declares the layer that makes kernels, `weight: [heads * taps, width]` without bias, under `scope`.
    ///
    /// Fails when there are no taps, or `before` is not below their number.
    pub fn declare(scope: &mut Scope<'_>, width: usize, kernel: TapKernel) -> Result<Self> {
        Self::of(Linear::declare_without_bias(scope, width, kernel.heads * kernel.taps)?, kernel)
    }

    /// With a layer that is declared already. Fails as [`DynamicConv::declare`] does.
    pub fn of(kernels: Linear, kernel: TapKernel) -> Result<Self> {
        kernel.check(DYNAMIC)?;
        Ok(Self { kernels, kernel, renormalises: false })
    }

    /// The same layer with a softmax over the taps within each sequence alone, so that kernels at its ends sum to 1, too.
    #[must_use]
    pub fn renormalised(self) -> Self {
        Self { renormalises: true, ..self }
    }

    /// The kernels that `x: [batch, time, width]` makes: `[batch, time, heads, taps]`, each of sum 1.
    ///
    /// Fails when the layer takes another width, and for parts of streams.
    pub fn record_kernels(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        let TapKernel { heads, taps, .. } = self.kernel;
        let logits = self.kernels.record(recorder, x, Activation::Identity)?;
        let [batch, time] = [0, 1].map(|axis| recorder.desc(logits).map(|desc| desc.shape.dims()[axis]));
        let (batch, time) = (batch?, time?);
        let mut logits = ops::reshape(recorder, logits, [batch, time, heads, taps])?;
        if self.renormalises {
            let is_within = self.kernel.taps_within(recorder, time, layout)?;
            let dtype = recorder.desc(logits)?.dtype;
            logits = ops::converted(recorder, logits, DType::F32)?;
            logits = ops::padding::hidden_unless(recorder, is_within, logits)?;
            let kernels = ops::softmax(recorder, logits)?;
            return ops::converted(recorder, kernels, dtype);
        }
        ops::softmax(recorder, logits)
    }

    /// `y[t, c] = sum_j kernel(x_t)[h(c), j] x[t + j - before, c]` for `x: [batch, time, channels]`, with zeros outside each sequence.
    ///
    /// Fails when the heads do not divide the channels, and for parts of streams.
    pub fn record(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        self.kernel.size(DYNAMIC, recorder, x)?;
        let x = layout.without_padding(DYNAMIC, recorder, x)?;
        let mut kernels = self.record_kernels(recorder, x, layout)?;
        if self.kernel.drops_taps {
            kernels = recorder.dropout(kernels)?;
        }
        ops::dynamic_conv(recorder, x, kernels, self.kernel.before, layout.segments())
    }
}

impl Mixer for LightConv {
    /// [`LightConv::record`].
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(LIGHT, memory)?;
        self.record(recorder, x, layout)
    }
}

impl Mixer for DynamicConv {
    /// [`DynamicConv::record`].
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(DYNAMIC, memory)?;
        self.record(recorder, x, layout)
    }
}

/// A convolution between two dense layers, the first gated (section 4.1 of the paper): `down(conv(GLU(up(x))))`, where the second half of what `up`
/// makes is the gate.
#[derive(Debug)]
pub struct GatedConv {
    /// To twice the channels.
    pub up: Linear,
    /// What mixes positions: [`LightConv`] or [`DynamicConv`].
    pub conv: Box<dyn Mixer>,
    /// Over the channels of what the convolution gives.
    pub down: Linear,
}

impl Mixer for GatedConv {
    /// Padding is zero where the first layer reads it, and no more than that behind it, as that layer has a bias.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(GATED, memory)?;
        let (x, layout) = match *layout {
            Layout::Padded { lengths } => (ops::padding::zero_behind(recorder, x, lengths)?, Layout::Rows),
            layout => (x, layout),
        };
        let doubled = self.up.record(recorder, x, Activation::Identity)?;
        let gated = ops::gated(recorder, doubled, Gate::Second, Activation::Sigmoid)?;
        let dtype = recorder.dtype();
        let gated = ops::converted(recorder, gated, dtype)?;
        let mixed = self.conv.record(recorder, gated, None, &layout)?;
        self.down.record(recorder, mixed, Activation::Identity)
    }
}
