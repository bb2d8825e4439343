//! Normalisations whose statistics are taken over positions: batch normalisation, of each channel over a batch, and group normalisation, of groups of
//! channels over a sequence.

use super::{Layout, Recorder, parameter};
use crate::graph::{Graph, Value};
use crate::ops;
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const BATCH: &str = "batch norm";
const GROUP: &str = "group norm";

/// Batch normalisation over batch and time (Ioffe and Szegedy, arXiv 1502.03167): each channel to mean 0 and variance 1, then `weight` and `bias`.
///
/// Training takes the statistics of the batch, of tokens alone where some positions are padding, and moves running averages by `momentum`:
/// parameters that a run changes, `running_mean` and `running_var`, the variance by `n / (n - 1)` as PyTorch has it. Inference takes the running
/// averages: a factor and a shift for each channel ([`BatchNorm::affine`]), which a layer before it can take into its weights. Statistics are f32
/// whatever the storage.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Weight,
    bias: Weight,
    mean: Weight,
    variance: Weight,
    eps: f32,
    momentum: f32,
}

/// Group normalisation over time (Wu and He, arXiv 1803.08494): each group of channels of a sequence to mean 0 and variance 1, then `weight` and
/// `bias`. With as many groups as channels it is instance normalisation.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Weight,
    bias: Weight,
    groups: usize,
    eps: f32,
}

/// The extents of `x: [batch, time, width]`. Fails for others.
fn extents(op: &'static str, graph: &Graph, x: Value, width: usize) -> Result<[usize; 2]> {
    let desc = graph.desc(x)?;
    match *desc.shape.dims() {
        [batch, time, found] if found == width => Ok([batch, time]),
        _ => {
            let error = Error::new(ErrorKind::Shape, op, "x");
            Err(error.expecting(format!("[batch, time, {width}]")).but_found(desc))
        }
    }
}

/// `x` divided by the square root of `variance + eps`, both f32.
fn divided(graph: &mut Graph, x: Value, variance: Value, eps: f32) -> Result<Value> {
    let factor = inverse_deviation(graph, variance, eps)?;
    ops::multiply(graph, x, factor)
}

fn inverse_deviation(graph: &mut Graph, variance: Value, eps: f32) -> Result<Value> {
    let eps = ops::fill(graph, TensorDesc::f32([1]), eps)?;
    let raised = ops::add(graph, variance, eps)?;
    ops::rsqrt(graph, raised)
}

impl BatchNorm {
    /// Declares weight, bias and running averages under `scope`. How many batches a file has seen is passed over.
    pub fn declare(scope: &mut Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        scope.ignore("num_batches_tracked");
        let mut weight = |name| scope.weight(name, [width]);
        let (own, bias) = (weight("weight")?, weight("bias")?);
        let (mean, variance) = (weight("running_mean")?, weight("running_var")?);
        Ok(Self { weight: own, bias, mean, variance, eps, momentum: 0.1 })
    }

    /// Another share of each batch in the running averages, 0.1 unless it is set.
    #[must_use]
    pub fn momentum(self, momentum: f32) -> Self {
        Self { momentum, ..self }
    }

    /// Normalisation by the running averages as a factor and a shift for each channel, `x factor + shift`, each f32 `[width]`.
    pub fn affine(&self, graph: &mut Graph) -> Result<[Value; 2]> {
        let [weight, bias, mean, variance] = self.held(graph)?;
        let factor = divided(graph, weight, variance, self.eps)?;
        let moved = ops::multiply(graph, mean, factor)?;
        Ok([factor, ops::subtract(graph, bias, moved)?])
    }

    /// Weight, bias, running mean and variance in f32.
    fn held(&self, graph: &mut Graph) -> Result<[Value; 4]> {
        let mut values = Vec::with_capacity(4);
        for weight in [&self.weight, &self.bias, &self.mean, &self.variance] {
            let held =
                graph.parameters().iter().find(|(name, _)| name == weight.name()).map(|&(_, value)| value);
            let value = match held {
                Some(value) => value,
                None => parameter(graph, weight, DType::F32)?,
            };
            values.push(ops::converted(graph, value, DType::F32)?);
        }
        Ok([values[0], values[1], values[2], values[3]])
    }

    /// Mean and biased variance of each channel over the tokens of `x: [batch, time, width]`, f32 `[1, 1, width]`; how many tokens there are, f32
    /// `[1, 1, 1]`; and `x` without its mean, f32, 0 where no token is.
    ///
    /// Fails when `x` has another width, and for parts of streams.
    pub fn statistics(&self, graph: &mut Graph, x: Value, layout: &Layout) -> Result<[Value; 4]> {
        let [batch, time] = extents(BATCH, graph, x, self.weight.shape().dims()[0])?;
        let flags = tokens(graph, [batch, time], layout)?;
        let count = match flags {
            Some(flags) => {
                let count = ops::sum(graph, flags, &[0, 1])?;
                let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
                ops::maximum(graph, count, one)?
            }
            None => ops::fill(graph, TensorDesc::f32([1, 1, 1]), (batch * time).max(1) as f32)?,
        };
        let x = ops::converted(graph, x, DType::F32)?;
        let kept = |graph: &mut Graph, x: Value| flags.map_or(Ok(x), |flags| ops::multiply(graph, x, flags));
        let tokens = kept(graph, x)?;
        let total = ops::sum(graph, tokens, &[0, 1])?;
        let mean = ops::divide(graph, total, count)?;
        let centred = ops::subtract(graph, x, mean)?;
        let centred = kept(graph, centred)?;
        let squares = ops::square(graph, centred)?;
        let total = ops::sum(graph, squares, &[0, 1])?;
        Ok([mean, ops::divide(graph, total, count)?, count, centred])
    }

    /// The normalised `x: [batch, time, width]`, 0 at padding in training. Training updates the running averages, once for each graph.
    ///
    /// Fails when `x` has another width, and in training for parts of streams.
    pub fn record(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        let width = self.weight.shape().dims()[0];
        let [batch, time] = extents(BATCH, recorder, x, width)?;
        let dtype = recorder.desc(x)?.dtype;
        if !recorder.is_training() {
            let [factor, shift] = self.affine(recorder)?;
            let x = ops::converted(recorder, x, DType::F32)?;
            let scaled = ops::multiply(recorder, x, factor)?;
            let moved = ops::add(recorder, scaled, shift)?;
            return ops::converted(recorder, moved, dtype);
        }
        let [mean, variance, count, centred] = self.statistics(recorder, x, layout)?;
        self.follow(recorder, [mean, variance, count])?;
        let [weight, bias, ..] = self.held(recorder)?;
        let normalised = divided(recorder, centred, variance, self.eps)?;
        let scaled = ops::multiply(recorder, normalised, weight)?;
        let mut y = ops::add(recorder, scaled, bias)?;
        if let Some(flags) = tokens(recorder, [batch, time], layout)? {
            y = ops::multiply(recorder, y, flags)?;
        }
        ops::converted(recorder, y, dtype)
    }

    /// Moves the running averages towards the statistics of a batch.
    fn follow(&self, graph: &mut Graph, [mean, variance, count]: [Value; 3]) -> Result<()> {
        let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
        let less = ops::subtract(graph, count, one)?;
        let less = ops::maximum(graph, less, one)?;
        let correction = ops::divide(graph, count, less)?;
        let unbiased = ops::multiply(graph, variance, correction)?;
        for (average, of_batch) in [(&self.mean, mean), (&self.variance, unbiased)] {
            let held = parameter(graph, average, DType::F32)?;
            let of_batch = ops::reshape(graph, of_batch, average.shape().clone())?;
            let of_batch = ops::scale(graph, of_batch, self.momentum)?;
            let rest = ops::scale(graph, held, 1.0 - self.momentum)?;
            let next = ops::add(graph, rest, of_batch)?;
            graph.update(held, next)?;
        }
        Ok(())
    }
}

/// 1 where a token is and 0 where none is, f32 `[batch, time, 1]`; nothing where all positions are tokens.
fn tokens(graph: &mut Graph, [batch, time]: [usize; 2], layout: &Layout) -> Result<Option<Value>> {
    layout.check_whole(BATCH)?;
    let flags = match *layout {
        Layout::Padded { lengths } => ops::padding::is_token(graph, lengths, time)?,
        Layout::Packed { segments, count } => {
            let end = crate::tensor::HostTensor::i32([1], vec![count.min(i32::MAX as usize) as i32])?;
            let end = ops::constant(graph, end)?;
            ops::less(graph, segments, end)?
        }
        _ => return Ok(None),
    };
    let flags = ops::cast(graph, flags, DType::F32)?;
    Ok(Some(ops::reshape(graph, flags, [batch, time, 1])?))
}

impl GroupNorm {
    /// Declares weight and bias under `scope`. Fails when the groups do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, width: usize, groups: usize, eps: f32) -> Result<Self> {
        if groups == 0 || !width.is_multiple_of(groups) {
            return Err(Error::new(ErrorKind::Argument, GROUP, "groups")
                .expecting(format!("a divisor of {width} channels"))
                .but_found(groups));
        }
        Ok(Self {
            weight: scope.weight("weight", [width])?,
            bias: scope.weight("bias", [width])?,
            groups,
            eps,
        })
    }

    /// The normalised `x: [batch, time, width]`: each group of channels of a batch item by its mean and variance over time.
    ///
    /// Fails when `x` has another width.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let width = self.weight.shape().dims()[0];
        let [batch, time] = extents(GROUP, graph, x, width)?;
        let dtype = graph.desc(x)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let bias = parameter(graph, &self.bias, dtype)?;
        let x = ops::converted(graph, x, DType::F32)?;
        let apart = ops::reshape(graph, x, [batch, time, self.groups, width / self.groups])?;
        let mean = ops::mean(graph, apart, &[1, 3])?;
        let centred = ops::subtract(graph, apart, mean)?;
        let squares = ops::square(graph, centred)?;
        let variance = ops::mean(graph, squares, &[1, 3])?;
        let normalised = divided(graph, centred, variance, self.eps)?;
        let normalised = ops::reshape(graph, normalised, [batch, time, width])?;
        let normalised = ops::converted(graph, normalised, dtype)?;
        let scaled = ops::multiply(graph, normalised, weight)?;
        ops::add(graph, scaled, bias)
    }
}
