//! The CPU reference.

use crate::tensor::{Array, Real};

pub(super) fn backward<R: Real>(x: &Array<R>, upstream: &Array<R>, eps: R) -> Array<R> {
    let width = x.dims()[x.dims().len() - 1].max(1);
    let mut dx = Vec::with_capacity(x.reals().len());
    for (x, g) in x.reals().chunks(width).zip(upstream.reals().chunks(width)) {
        // Step by step, because a sum of squares leaves f32 long before the norm does.
        let norm = x.iter().copied().fold(R::zero(), R::hypot);
        if norm < eps {
            dx.extend(g.iter().map(|&g| g / eps));
            continue;
        }
        let along: R = x.iter().zip(g).map(|(&x, &g)| x / norm * g).sum();
        dx.extend(x.iter().zip(g).map(|(&x, &g)| (g - x / norm * along) / norm));
    }
    Array::real(x.shape().clone(), dx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::normalize::l2_normalize::L2Normalize;

    #[test]
    fn is_the_slope_of_the_forward_pass() {
        let (x, g) = (random([4, 5], 1), random([4, 5], 2));
        // All rows are longer, and all are shorter.
        for eps in [1e-3_f32, 100.0] {
            let dx = backward(&x, &g, eps.into());
            assert_gradient(&dx, &x, |x| dot(&L2Normalize { eps }.reference(&[x])[0], &g));
        }
    }
}
