//! The reference against the differences of the forward pass.

use super::NormBackward;
use crate::graph::Op;
use crate::ops::differences::{assert_gradient, dot, random};
use crate::tensor::Array;

/// Holds `backward` to a forward pass with a residual, and with a bias where there is one.
pub(in crate::ops::normalize) fn assert_slopes(forward: &impl Op, backward: NormBackward) {
    let (x, residual) = (random([3, 5], 1), random([3, 5], 2));
    let (weight, bias) = (random([5], 3), random([5], 4));
    let (dy, d_sum) = (random([3, 5], 5), random([3, 5], 6));
    let loss = |x: &Array<f64>, weight: &Array<f64>, bias: &Array<f64>| {
        let mut inputs = vec![x, weight, bias, &residual];
        if !backward.centred {
            inputs.remove(2);
        }
        let outputs = forward.reference(&inputs);
        dot(&outputs[0], &dy) + dot(&outputs[1], &d_sum)
    };
    let sums = x.reals().iter().zip(residual.reals()).map(|(x, r)| x + r).collect();
    let d = backward.reference(&[&Array::real([3, 5], sums), &weight, &dy, &d_sum]);
    assert_gradient(&d[0], &x, |x| loss(x, &weight, &bias));
    assert_gradient(&d[1], &weight, |weight| loss(&x, weight, &bias));
    if let Some(d_bias) = d.get(2) {
        assert_gradient(d_bias, &bias, |bias| loss(&x, &weight, bias));
    }
}
