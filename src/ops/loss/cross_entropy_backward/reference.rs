//! The CPU reference.

use crate::tensor::{Array, Real};

/// For inputs logits, targets, lse, upstream, and the upstream of lse where there is one.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], smoothing: f64) -> Array<R> {
    let [logits, targets, lse, upstream] = [0, 1, 2, 3].map(|i| inputs[i]);
    let classes = logits.dims()[logits.dims().len() - 1];
    let counts = |target: i64| (0..classes as i64).contains(&target);
    let counted = targets.indices().iter().filter(|&&target| counts(target)).count();
    let factor = upstream.reals()[0] / R::of(counted.max(1) as f64);
    let q = |c: usize, target: i64| {
        let hot = if c as i64 == target { 1.0 - smoothing } else { 0.0 };
        R::of(hot + smoothing / classes as f64)
    };
    let mut d = Vec::with_capacity(logits.reals().len());
    for (row, (x, &target)) in logits.reals().chunks(classes).zip(targets.indices()).enumerate() {
        let d_lse = inputs.get(4).map_or(R::zero(), |upstream| upstream.reals()[row]);
        d.extend(x.iter().enumerate().map(|(c, &x)| {
            let p = (x - lse.reals()[row]).exp();
            if counts(target) { (p - q(c, target)) * factor + p * d_lse } else { R::zero() }
        }));
    }
    Array::real(logits.shape().clone(), d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::loss::cross_entropy::{CrossEntropy, CrossEntropyOp};

    #[test]
    fn is_the_slope_of_the_loss() {
        let targets = Array::index([4], vec![2, -100, 0, 5]);
        for smoothing in [0.0, 0.25] {
            let forward = CrossEntropyOp(CrossEntropy::new().label_smoothing(smoothing));
            let logits = random([4, 5], 1);
            let outputs = forward.reference(&[&logits, &targets]);
            let (upstream, d_lse) = (Array::real([1], vec![-1.5]), random([4], 2));
            let d = backward(&[&logits, &targets, &outputs[1], &upstream, &d_lse], smoothing.into());
            assert_gradient(&d, &logits, |x| {
                let outputs = forward.reference(&[x, &targets]);
                -1.5 * outputs[0].reals()[0] + dot(&outputs[1], &d_lse)
            });
        }
    }
}
