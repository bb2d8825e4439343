//! Layers of one op each.

use super::conv::check_groups;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::ops::{self, Activation};
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Scope, Weight};

/// A weight as a parameter of a graph. One that the graph holds in another float type already, as a training graph holds f32 for layers
/// that compute in f16, is converted.
pub(crate) fn parameter(graph: &mut Graph, weight: &Weight, dtype: DType) -> Result<Value> {
    let held = graph.parameters().iter().find(|(name, _)| name == weight.name()).map(|&(_, value)| value);
    if let Some(held) = held {
        let desc = graph.desc(held)?;
        if desc.shape == *weight.shape() && desc.dtype != dtype {
            return ops::cast(graph, held, dtype);
        }
    }
    graph.parameter(weight.name(), TensorDesc::new(dtype, weight.shape().clone()))
}

/// A dense layer: `weight: [out, in]`, or as files have it otherwise, and `bias: [out]` unless it goes without.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Weight>,
    form: Form,
}

/// How a dense layer's weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OutIn,
    InOut,
    /// `[out, in / groups, 1]`, a convolution of one tap, of channels in so many groups.
    Pointwise(usize),
    /// `[groups, in / groups, out / groups]`.
    Groups,
}

impl Linear {
    /// Declares the layer's weights under `scope`.
    pub fn declare(scope: &mut Scope<'_>, inner: usize, out: usize) -> Result<Self> {
        let layer = Self::declare_without_bias(scope, inner, out)?;
        Ok(Self { bias: Some(scope.weight("bias", [out])?), ..layer })
    }

    /// Declares the weight of a layer that has no bias under `scope`.
    pub fn declare_without_bias(scope: &mut Scope<'_>, inner: usize, out: usize) -> Result<Self> {
        Ok(Self { weight: scope.weight("weight", [out, inner])?, bias: None, form: Form::OutIn })
    }

    /// Declares the weights of a layer that files store as `[in, out]` (GPT-2's `Conv1D`), with a bias.
    pub fn declare_in_out(scope: &mut Scope<'_>, inner: usize, out: usize) -> Result<Self> {
        let weight = scope.weight("weight", [inner, out])?;
        Ok(Self { weight, bias: Some(scope.weight("bias", [out])?), form: Form::InOut })
    }

    /// A layer of weights that are declared already, such as an embedding used as its own decoder.
    pub fn of(weight: Weight, bias: Option<Weight>) -> Self {
        Self { weight, bias, form: Form::OutIn }
    }

    /// A layer of a weight that is declared already and that files store as `[in, out]`, without a bias.
    pub fn of_in_out(weight: Weight) -> Self {
        Self { weight, bias: None, form: Form::InOut }
    }

    /// Declares the weights of a layer that files store as a convolution of one tap, `[out, in / groups, 1]`, of channels in `groups`, each of which
    /// sees its own alone.
    ///
    /// Fails when the groups do not divide both numbers of channels.
    pub fn declare_pointwise(scope: &mut Scope<'_>, inner: usize, out: usize, groups: usize) -> Result<Self> {
        let layer = Self::declare_pointwise_without_bias(scope, inner, out, groups)?;
        Ok(Self { bias: Some(scope.weight("bias", [out])?), ..layer })
    }

    /// [`Linear::declare_pointwise`] of a layer that has no bias.
    pub fn declare_pointwise_without_bias(
        scope: &mut Scope<'_>,
        inner: usize,
        out: usize,
        groups: usize,
    ) -> Result<Self> {
        check_groups("linear", inner, out, groups)?;
        let weight = scope.weight("weight", [out, inner / groups, 1])?;
        Ok(Self { weight, bias: None, form: Form::Pointwise(groups) })
    }

    /// Declares the weights of a layer of channels in `groups` that files store as a matrix for each, `[groups, in / groups, out / groups]`, with a
    /// bias.
    ///
    /// Fails when the groups do not divide both numbers of channels.
    pub fn declare_in_groups(scope: &mut Scope<'_>, inner: usize, out: usize, groups: usize) -> Result<Self> {
        check_groups("linear", inner, out, groups)?;
        let weight = scope.weight("weight", [groups, inner / groups, out / groups])?;
        Ok(Self { weight, bias: Some(scope.weight("bias", [out])?), form: Form::Groups })
    }

    /// The name of the weight.
    pub(crate) fn name(&self) -> &str {
        self.weight.name()
    }

    /// `f(x W^T + bias)` for `x: [.., in]`.
    pub fn record(&self, graph: &mut Graph, x: Value, activation: Activation) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let bias = self.bias.as_ref().map(|bias| parameter(graph, bias, dtype)).transpose()?;
        let weight = match self.form {
            Form::OutIn => weight,
            Form::InOut => return record_in_out(graph, [x, weight], bias, activation),
            Form::Pointwise(1) => {
                let [out, inner] = [0, 1].map(|axis| self.weight.shape().dims()[axis]);
                ops::reshape(graph, weight, [out, inner])?
            }
            Form::Pointwise(groups) => {
                let y = pointwise(graph, [x, weight], bias, groups)?;
                return ops::activate(graph, y, activation);
            }
            Form::Groups => {
                let y = ops::group_linear(graph, x, weight, bias)?;
                return ops::activate(graph, y, activation);
            }
        };
        let spec = ops::Linear::new().activation(activation);
        ops::linear(graph, x, weight, &bias.map_or(spec, |bias| spec.bias(bias)))
    }
}

/// A dense layer of channels in groups for `x: [.., in]` and a weight `[out, in / groups, 1]`.
fn pointwise(
    graph: &mut Graph,
    [x, weight]: [Value; 2],
    bias: Option<Value>,
    groups: usize,
) -> Result<Value> {
    let [out, inner] = [0, 1].map(|axis| graph.desc(weight).map(|desc| desc.shape.dims()[axis]));
    let (out, inner) = (out?, inner?);
    let weight = ops::reshape(graph, weight, [groups, out / groups, inner])?;
    let weight = ops::transpose(graph, weight, &[0, 2, 1])?;
    ops::group_linear(graph, x, weight, bias)
}

/// `f(x W + bias)` for `x: [.., in]` and `W: [in, out]`.
fn record_in_out(
    graph: &mut Graph,
    [x, weight]: [Value; 2],
    bias: Option<Value>,
    activation: Activation,
) -> Result<Value> {
    let dims = graph.desc(x)?.shape.dims().to_vec();
    let Some((inner, leading)) = dims.split_last() else {
        return ops::matmul(graph, x, weight, &ops::Matmul::new());
    };
    let flat = ops::reshape(graph, x, [leading.iter().product(), *inner])?;
    let mut y = ops::matmul(graph, flat, weight, &ops::Matmul::new())?;
    if let Some(bias) = bias {
        y = ops::add(graph, y, bias)?;
    }
    let y = ops::activate(graph, y, activation)?;
    let out = graph.desc(weight)?.shape.dims()[1];
    ops::reshape(graph, y, leading.iter().copied().chain([out]).collect::<Vec<_>>())
}

/// Layer normalisation of the last axis, with weight and bias.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Weight,
    bias: Weight,
    eps: f32,
}

impl LayerNorm {
    /// Declares the layer's weights under `scope`, where old files call them `gamma` and `beta`.
    pub fn declare(scope: &mut Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        let weight = scope.weight_or(&["weight", "gamma"], [width])?;
        let bias = scope.weight_or(&["bias", "beta"], [width])?;
        Ok(Self { weight, bias, eps })
    }

    /// The normalised `x: [.., width]`, or of `x + residual`.
    pub fn record(&self, graph: &mut Graph, x: Value, residual: Option<Value>) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let bias = parameter(graph, &self.bias, dtype)?;
        let spec = ops::LayerNorm::new(self.eps);
        let spec = residual.map_or(spec, |residual| spec.residual(residual));
        ops::layer_norm(graph, x, weight, Some(bias), &spec)
    }
}

/// Root mean square normalisation of the last axis, with a weight.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Weight,
    eps: f32,
}

impl RmsNorm {
    /// Declares the layer's weight under `scope`.
    pub fn declare(scope: &mut Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        Ok(Self { weight: scope.weight("weight", [width])?, eps })
    }

    /// The normalised `x: [.., width]`, or of `x + residual`.
    pub fn record(&self, graph: &mut Graph, x: Value, residual: Option<Value>) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let spec = ops::RmsNorm::new(self.eps);
        let spec = residual.map_or(spec, |residual| spec.residual(residual));
        ops::rms_norm(graph, x, weight, &spec)
    }
}

/// A table with a row for each id: `weight: [rows, width]`.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Weight,
}

impl Embedding {
    /// Declares the table under `scope`.
    pub fn declare(scope: &mut Scope<'_>, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { weight: scope.weight("weight", [rows, width])? })
    }

    /// The table, for [`Linear::of`] and for files that hold a copy of it.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// The sum of the rows that several tables have for `ids`, in `dtype`.
    pub fn record_sum(graph: &mut Graph, tables: &[(&Self, Value)], dtype: DType) -> Result<Value> {
        let pairs = tables
            .iter()
            .map(|(table, ids)| Ok((parameter(graph, &table.weight, dtype)?, *ids)))
            .collect::<Result<Vec<_>>>()?;
        ops::embedding(graph, &pairs)
    }
}
