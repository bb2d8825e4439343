//! The CPU reference.

use crate::tensor::{Array, Real};

/// The mean loss of the rows that count, and every row's log-sum-exp.
pub(super) fn forward<R: Real>(
    logits: &Array<R>,
    targets: &Array<R>,
    smoothing: f64,
) -> (Array<R>, Array<R>) {
    let classes = logits.dims()[logits.dims().len() - 1];
    let (smoothing, spread_over) = (R::of(smoothing), R::of(classes as f64));
    let (mut total, mut counted) = (R::zero(), 0);
    let mut lse = vec![R::zero(); targets.indices().len()];
    for ((x, &target), lse) in logits.reals().chunks(classes).zip(targets.indices()).zip(&mut lse) {
        let Some(target) = usize::try_from(target).ok().filter(|&target| target < classes) else {
            continue;
        };
        let max = x.iter().copied().fold(x[0], R::max);
        let log_sum = x.iter().map(|&x| (x - max).exp()).sum::<R>().ln();
        // -ln p of a class.
        let surprise = |x: R| log_sum + (max - x);
        total += (R::one() - smoothing) * surprise(x[target]);
        if smoothing > R::zero() {
            total += smoothing * x.iter().map(|&x| surprise(x)).sum::<R>() / spread_over;
        }
        *lse = max + log_sum;
        counted += 1;
    }
    let mean = total / R::of(f64::from(counted.max(1)));
    (Array::real([1], vec![mean]), Array::real(targets.shape().clone(), lse))
}
