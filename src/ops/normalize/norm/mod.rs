//! Layer normalisation, `y = (s - mean s) / sqrt(variance s + eps) * weight + bias` (Ba, Kiros and Hinton, arXiv 1607.06450,
//! equation 4), and normalisation by the root mean square, `y = s / sqrt(mean s^2 + eps) * weight` (Zhang and Sennrich, arXiv
//! 1910.07467, equation 4), of `s = x + residual`.
//!
//! Both are one op, with or without a centre: for deviations `d = s - mean s`, or `d = s`, and `r = 1 / sqrt(mean d^2 + eps)`,
//! `y = d r weight + bias`. The mean of squares is taken in a second pass.

mod backward;
#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::check_eps;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::ops::rows;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{layer_norm, rms_norm};

/// Settings of [`layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    eps: f32,
    residual: Option<Value>,
}

/// Settings of [`rms_norm`].
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    eps: f32,
    residual: Option<Value>,
}

impl LayerNorm {
    /// `eps` is added to the variance: a finite number of at least the smallest normal one.
    pub fn new(eps: f32) -> Self {
        Self { eps, residual: None }
    }

    /// A value of x's shape and type that is added to x first, in f32 and not rounded in between.
    #[must_use]
    pub fn residual(self, residual: Value) -> Self {
        Self { residual: Some(residual), ..self }
    }
}

impl RmsNorm {
    /// `eps` is added to the mean square: a finite number of at least the smallest normal one.
    pub fn new(eps: f32) -> Self {
        Self { eps, residual: None }
    }

    /// A value of x's shape and type that is added to x first, in f32 and not rounded in between.
    #[must_use]
    pub fn residual(self, residual: Value) -> Self {
        Self { residual: Some(residual), ..self }
    }
}

/// Layer normalisation of `x: [.., width]` along its last axis, f32 or f16, with `weight` and `bias`: `[width]` of x's type.
///
/// Statistics are f32 whatever the storage; squares of deviations must not leave f32. A constant row gives exactly the bias.
/// Fails when shapes or types do not fit, or `eps` is not a finite, positive, normal number.
pub fn layer_norm(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    bias: Option<Value>,
    spec: &LayerNorm,
) -> Result<Value> {
    Ok(append(graph, Kind::Layer, spec.eps, (x, weight, bias, spec.residual))?[0])
}

/// [`layer_norm`], and the sum `x + residual` that it normalised, rounded to x's type. Fails without a residual, too.
pub fn layer_norm_with_sum(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    bias: Option<Value>,
    spec: &LayerNorm,
) -> Result<(Value, Value)> {
    append_with_sum(graph, Kind::Layer, spec.eps, (x, weight, bias, spec.residual))
}

/// Normalisation of `x: [.., width]` by the root mean square along its last axis, f32 or f16, with `weight: [width]` of x's
/// type.
///
/// Statistics are f32 whatever the storage; squares must not leave f32. Fails when shapes or types do not fit, or `eps` is not
/// a finite, positive, normal number.
pub fn rms_norm(graph: &mut Graph, x: Value, weight: Value, spec: &RmsNorm) -> Result<Value> {
    Ok(append(graph, Kind::Rms, spec.eps, (x, weight, None, spec.residual))?[0])
}

/// [`rms_norm`], and the sum `x + residual` that it normalised, rounded to x's type. Fails without a residual, too.
pub fn rms_norm_with_sum(
    graph: &mut Graph,
    x: Value,
    weight: Value,
    spec: &RmsNorm,
) -> Result<(Value, Value)> {
    append_with_sum(graph, Kind::Rms, spec.eps, (x, weight, None, spec.residual))
}

/// x, weight, bias and residual.
type Arguments = (Value, Value, Option<Value>, Option<Value>);

fn append(
    graph: &mut Graph,
    kind: Kind,
    eps: f32,
    (x, weight, bias, residual): Arguments,
) -> Result<Vec<Value>> {
    let op = Norm { kind, eps, bias: bias.is_some(), residual: residual.is_some() };
    let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).chain(residual).collect();
    graph.push_builtin(op, &inputs)
}

fn append_with_sum(graph: &mut Graph, kind: Kind, eps: f32, arguments: Arguments) -> Result<(Value, Value)> {
    if arguments.3.is_none() {
        return Err(Error::new(ErrorKind::Argument, kind.name(), "residual")
            .expecting("a value to add")
            .but_found("none"));
    }
    let outputs = append(graph, kind, eps, arguments)?;
    Ok((outputs[0], outputs[1]))
}

/// Which of the two ops.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Layer,
    Rms,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Layer => "normalize/layer_norm",
            Self::Rms => "normalize/rms_norm",
        }
    }

    /// Whether the mean is taken off.
    fn is_centred(self) -> bool {
        self == Self::Layer
    }
}

/// Settings and optional arguments of one call. Inputs are x, weight, bias, residual, as far as they are there. With a residual the
/// second output is the sum, which the backward pass starts from: written where it is read.
#[derive(Clone, Copy, Debug)]
struct Norm {
    kind: Kind,
    eps: f32,
    bias: bool,
    residual: bool,
}

impl Norm {
    fn bias_of<'a, T>(&self, inputs: &'a [T]) -> Option<&'a T> {
        inputs.get(2).filter(|_| self.bias)
    }

    fn residual_of<'a, T>(&self, inputs: &'a [T]) -> Option<&'a T> {
        inputs.last().filter(|_| self.residual)
    }
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let (x, bias) = (&inputs[0], self.bias_of(inputs));
        let mut contract = check_row_and_weight(self.name(), self.eps, x, &inputs[1])?;
        if let Some(bias) = bias {
            contract.dtype("bias", bias, x.dtype)?;
            contract.bind("bias", bias, &["width"])?;
        }
        if let Some(residual) = self.residual_of(inputs) {
            contract.same("residual", residual, "x", x)?;
        }
        Ok(vec![x.clone(); 1 + usize::from(self.residual)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(self, inputs)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::forward(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let inputs = adjoint.inputs();
        // What was normalised: the sum, where there is one.
        let (x, sum_upstream) = match adjoint.outputs() {
            &[_, sum] => (sum, adjoint.upstream(1)),
            _ => (inputs[0], None),
        };
        let of_parameters = |outputs: &[Value], i| outputs.get(i).copied();
        let (dx, d_weight, d_bias) = match adjoint.upstream(0) {
            Some(upstream) => {
                let outputs =
                    backward::append(graph, self.kind, self.eps, [x, inputs[1], upstream], sum_upstream)?;
                (Some(outputs[0]), of_parameters(&outputs, 1), of_parameters(&outputs, 2))
            }
            None => (sum_upstream, None, None),
        };
        let gradients = [dx, d_weight].into_iter().chain(self.bias.then_some(d_bias));
        let gradients = gradients.chain(self.residual.then_some(dx)).enumerate();
        Ok(gradients
            .map(|(i, d)| d.filter(|_| adjoint.wants(i)).map_or(Gradient::None, Gradient::Whole))
            .collect())
    }
}

/// The contract of forward and backward pass, with `width` bound by x and weight.
fn check_row_and_weight(op: &'static str, eps: f32, x: &TensorDesc, weight: &TensorDesc) -> Result<Contract> {
    check_eps(op, eps)?;
    let mut contract = Contract::new(op).may_be_empty(&["rows", "width"]);
    rows::check(&contract, "x", x)?;
    let width = x.shape.dims()[x.shape.rank() - 1];
    contract.bind("x", &TensorDesc::new(x.dtype, [width]), &["width"])?;
    contract.dtype("weight", weight, x.dtype)?;
    contract.bind("weight", weight, &["width"])?;
    Ok(contract)
}
