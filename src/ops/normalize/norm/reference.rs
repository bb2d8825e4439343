//! The CPU reference of both passes.

use super::{Kind, Norm};
use crate::ops::rows;
use crate::tensor::{Array, Real};

/// Terms that are added one by one.
const FEW: usize = 32;

/// The mean, of sums of halves: what f32 loses grows with the logarithm of their number.
fn mean<R: Real>(terms: &[R]) -> R {
    fn sum<R: Real>(terms: &[R]) -> R {
        if terms.len() <= FEW {
            return terms.iter().copied().sum();
        }
        let (left, right) = terms.split_at(terms.len() / 2);
        sum(left) + sum(right)
    }
    sum(terms) / R::of(terms.len() as f64)
}

/// The deviations of a row, and `1 / sqrt(mean of their squares + eps)`.
fn normalised<R: Real>(kind: Kind, row: &[R], eps: R) -> (Vec<R>, R) {
    let mut deviations = row.to_vec();
    if kind.is_centred() {
        // From an element first, and then from their own mean: a mean that is large beside them would take their last digits with it.
        let start = row[0];
        deviations.iter_mut().for_each(|d| *d = *d - start);
        let shift = mean(&deviations);
        deviations.iter_mut().for_each(|d| *d = *d - shift);
    }
    let squares: Vec<R> = deviations.iter().map(|&d| d * d).collect();
    let variance = mean(&squares);
    // Squares beyond the arithmetic would make the factor 0, and the row zeros.
    let factor = if variance.is_finite() { R::one() / (variance + eps).sqrt() } else { R::nan() };
    (deviations, factor)
}

pub(super) fn forward<R: Real>(norm: &Norm, inputs: &[&Array<R>]) -> Vec<Array<R>> {
    let (x, weight, eps) = (inputs[0], inputs[1].reals(), R::of(norm.eps.into()));
    let sum = match norm.residual_of(inputs) {
        Some(residual) => x.reals().iter().zip(residual.reals()).map(|(&x, &r)| x + r).collect(),
        None => x.reals().to_vec(),
    };
    let sum = Array::real(x.shape().clone(), sum);
    let mut y = Vec::with_capacity(sum.reals().len());
    for row in rows::slices(&sum) {
        let (deviations, factor) = normalised(norm.kind, row, eps);
        let scaled = deviations.into_iter().zip(weight).map(|(d, &weight)| d * factor * weight);
        match norm.bias_of(inputs) {
            Some(bias) => y.extend(scaled.zip(bias.reals()).map(|(y, &bias)| y + bias)),
            None => y.extend(scaled),
        }
    }
    let outputs = [Array::real(x.shape().clone(), y), sum];
    outputs.into_iter().take(1 + usize::from(norm.residual)).collect()
}

/// The gradients of x, weight, and bias where there is a centre, for x, weight, upstream and the upstream of a sum.
pub(super) fn backward<R: Real>(kind: Kind, eps: f32, inputs: &[&Array<R>]) -> Vec<Array<R>> {
    let (x, weight, upstream) = (inputs[0], inputs[1].reals(), inputs[2]);
    let width = weight.len();
    let mut dx = Vec::with_capacity(x.reals().len());
    let (mut d_weight, mut d_bias) = (vec![R::zero(); width], vec![R::zero(); width]);
    for (x, dy) in rows::slices(x).zip(rows::slices(upstream)) {
        let (deviations, r) = normalised(kind, x, R::of(eps.into()));
        let n: Vec<R> = deviations.into_iter().map(|d| d * r).collect();
        let g: Vec<R> = dy.iter().zip(weight).map(|(&dy, &weight)| dy * weight).collect();
        let products: Vec<R> = g.iter().zip(&n).map(|(&g, &n)| g * n).collect();
        let level = if kind.is_centred() { mean(&g) } else { R::zero() };
        let along = mean(&products);
        dx.extend(g.iter().zip(&n).map(|(&g, &n)| r * (g - level - n * along)));
        for (i, &dy) in dy.iter().enumerate() {
            d_weight[i] += dy * n[i];
            d_bias[i] += dy;
        }
    }
    if let Some(of_sum) = inputs.get(3) {
        dx.iter_mut().zip(of_sum.reals()).for_each(|(dx, &of_sum)| *dx += of_sum);
    }
    let mut outputs = vec![Array::real(x.shape().clone(), dx), Array::real([width], d_weight)];
    outputs.extend(kind.is_centred().then(|| Array::real([width], d_bias)));
    outputs
}
