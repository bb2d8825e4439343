//! Features that are made of more than one channel, by other ops: random features of the softmax kernel and of others (FAVOR+), and features
//! that know positions (cosFormer). [`linear_attention`](super::linear_attention) takes them as [`FeatureMap::Given`](super::FeatureMap::Given).

use std::f64::consts::FRAC_PI_2;

use super::NAME;
use crate::graph::{Graph, Value};
use crate::ops::{
    Activation, Linear, activate, add, broadcast, concat, constant, exp_of_sum, linear, max, multiply, relu,
    reshape, scale, square, stop_gradient, subtract, sum,
};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Which vectors features are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeaturesOf {
    /// Queries: their features may be multiplied by a number of each row.
    Queries,
    /// Keys: only by one of each item and head.
    Keys,
}

/// What is subtracted from the exponents of keys' random features, so that `exp` does not overflow. It cancels where `eps` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stabilizer {
    /// The largest `w_m . x'` of an item and head over all times, as in the published code. Nothing underflows that matters. With an `eps` each
    /// result depends on how large all keys are, in causal attention also later ones.
    #[default]
    LargestKey,
    /// The largest `|w_m|^2 / 2`, a bound of all exponents that is known without keys: what comes later changes nothing before, also with an
    /// `eps`. Exponents of keys of typical length lie by about half the size below it, so that sizes above 128 may underflow.
    Projection,
}

/// Settings of [`softmax_kernel_features`]: those of the paper.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SoftmaxKernel {
    eps: f32,
    stabilizer: Stabilizer,
}

impl SoftmaxKernel {
    /// No `eps`, and the published code's stabiliser.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is added to each feature: 0 in the paper, 1e-4 in published code (1e-6 in some). At least 0.
    #[must_use]
    pub fn eps(self, eps: f32) -> Self {
        Self { eps, ..self }
    }

    /// Whether features of a key depend on other keys.
    #[cfg(feature = "models")]
    pub(crate) fn knows_all_keys(&self) -> bool {
        self.stabilizer == Stabilizer::LargestKey
    }

    /// Another stabiliser of keys.
    #[must_use]
    pub fn stabilizer(self, stabilizer: Stabilizer) -> Self {
        Self { stabilizer, ..self }
    }
}

/// Positive random features of the softmax kernel (FAVOR+, Choromanski et al., arXiv 2009.14794, lemma 1 and section 2.3) of `x: [batch, time,
/// heads, size]`: `[batch, time, heads, count]` for a `projection: [count, size]` ([`RandomProjection`](super::RandomProjection)), both of one
/// float type.
///
/// ```text
/// x' = x / size^(1/4)      f_m(x) = count^(-1/2) (exp(w_m . x' - |x'|^2 / 2 - c) + eps)
/// ```
///
/// `c`, which gradients take as given, is the largest `w_m . x'` of each row of queries; of keys it is what `spec` says ([`Stabilizer`]).
/// Denominators: [`super::Denominator::Plus`] of 0.
pub fn softmax_kernel_features(
    graph: &mut Graph,
    x: Value,
    projection: Value,
    which: FeaturesOf,
    spec: &SoftmaxKernel,
) -> Result<Value> {
    check_eps(spec.eps)?;
    let (projected, scaled) = projected(graph, x, projection)?;
    let count = graph.desc(projected)?.shape.dims()[3] as f64;
    let largest = match (which, spec.stabilizer) {
        (FeaturesOf::Queries, _) => max(graph, projected, &[3])?,
        (FeaturesOf::Keys, Stabilizer::LargestKey) => max(graph, projected, &[1, 3])?,
        (FeaturesOf::Keys, Stabilizer::Projection) => {
            let squares = square(graph, projection)?;
            let halves = sum(graph, squares, &[1])?;
            let halves = scale(graph, halves, 0.5)?;
            let largest = max(graph, halves, &[0])?;
            reshape(graph, largest, [1, 1, 1, 1])?
        }
    };
    let largest = stop_gradient(graph, largest)?;
    let squares = square(graph, scaled)?;
    let squares = sum(graph, squares, &[3])?;
    let halves = scale(graph, squares, -0.5)?;
    // All that is one number of a row comes first: what has a feature for each row is passed over as seldom as can be.
    let of_row = subtract(graph, halves, largest)?;
    let of_row = shifted(graph, of_row, (-0.5 * count.ln()) as f32)?;
    let features = exp_of_sum(graph, projected, of_row)?;
    shifted(graph, features, (f64::from(spec.eps) * count.powf(-0.5)) as f32)
}

/// Random features of a generalised kernel (arXiv 2009.14794, section 2.2): `f(w_m . x / size^(1/4)) + eps`, with shapes and types as of
/// [`softmax_kernel_features`]. The paper's is [`Activation::Relu`] with an `eps` of 1e-3; one that may be negative is for attention without a
/// denominator.
pub fn generalized_kernel_features(
    graph: &mut Graph,
    x: Value,
    projection: Value,
    function: Activation,
    eps: f32,
) -> Result<Value> {
    check_eps(eps)?;
    let (projected, _) = projected(graph, x, projection)?;
    let features = activate(graph, projected, function)?;
    shifted(graph, features, eps)
}

/// Features that weigh scores by `cos(pi / 2 (i - j) / span)` (cosFormer, Qin et al., arXiv 2202.08791, equation 10): `max(x, 0)` times the
/// cosine of `pi / 2 t / span`, and behind these times its sine: `[batch, time, heads, 2 size]` of `x: [batch, time, heads, size]`. `span` is at
/// least the length of the text; that of queries and keys is the same.
///
/// Fails when a time lies beyond the span.
pub fn cosine_features(graph: &mut Graph, x: Value, span: usize) -> Result<Value> {
    let desc = graph.desc(x)?.clone();
    let &[_, time, _, _] = desc.shape.dims() else { return Err(not_rows(&desc)) };
    if time > span {
        return Err(Error::new(ErrorKind::Argument, NAME, "span")
            .expecting(format!("at least {time}"))
            .but_found(span));
    }
    let positive = relu(graph, x)?;
    let mut halves = [positive; 2];
    for (half, turn) in halves.iter_mut().zip([f64::cos as fn(f64) -> f64, f64::sin]) {
        let weights: Vec<f32> = (0..time).map(|t| turn(FRAC_PI_2 * t as f64 / span as f64) as f32).collect();
        let weights = constant(graph, HostTensor::from_f32(desc.dtype, [1, time, 1, 1], &weights)?)?;
        let weights = broadcast(graph, weights, desc.shape.clone())?;
        *half = multiply(graph, positive, weights)?;
    }
    concat(graph, &halves, 3)
}

/// `w_m . x'`, and `x'`.
fn projected(graph: &mut Graph, x: Value, projection: Value) -> Result<(Value, Value)> {
    let desc = graph.desc(x)?.clone();
    let &[_, _, _, size] = desc.shape.dims() else { return Err(not_rows(&desc)) };
    let scaled = scale(graph, x, (size as f64).powf(-0.25) as f32)?;
    Ok((linear(graph, scaled, projection, &Linear::new())?, scaled))
}

/// `x + by`
fn shifted(graph: &mut Graph, x: Value, by: f32) -> Result<Value> {
    if by == 0.0 {
        return Ok(x);
    }
    let one = TensorDesc::new(graph.desc(x)?.dtype, [1]);
    let by = crate::ops::fill(graph, one, by)?;
    add(graph, x, by)
}

fn check_eps(eps: f32) -> Result<()> {
    if eps.is_finite() && eps >= 0.0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Argument, NAME, "eps").expecting("a number of at least 0").but_found(eps))
}

fn not_rows(found: &TensorDesc) -> Error {
    Error::new(ErrorKind::Shape, NAME, "x")
        .expecting("rank 4 [batch, time, heads, size]")
        .but_found(&found.shape)
}
