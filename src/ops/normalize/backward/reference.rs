//! The CPU reference.

use super::NormBackward;
use crate::tensor::{Array, Real};

impl NormBackward {
    pub(in crate::ops::normalize) fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, weight, upstream) = (inputs[0], inputs[1].reals(), inputs[2].reals());
        let (width, eps) = (weight.len(), R::of(self.eps.into()));
        let mut dx = Vec::with_capacity(upstream.len());
        let (mut d_weight, mut d_bias) = (vec![R::zero(); width], vec![R::zero(); width]);
        let mean = |terms: &[R]| terms.iter().copied().sum::<R>() / R::of(width as f64);
        for (x, dy) in x.reals().chunks(width.max(1)).zip(upstream.chunks(width.max(1))) {
            let centre = if self.centred { mean(x) } else { R::zero() };
            let d: Vec<R> = x.iter().map(|&x| x - centre).collect();
            let squares: Vec<R> = d.iter().map(|&d| d * d).collect();
            let r = R::one() / (mean(&squares) + eps).sqrt();
            let n: Vec<R> = d.iter().map(|&d| d * r).collect();
            let g: Vec<R> = dy.iter().zip(weight).map(|(&dy, &weight)| dy * weight).collect();
            let products: Vec<R> = g.iter().zip(&n).map(|(&g, &n)| g * n).collect();
            let level = if self.centred { mean(&g) } else { R::zero() };
            let along = mean(&products);
            dx.extend(g.iter().zip(&n).map(|(&g, &n)| r * (g - level - n * along)));
            for (i, &dy) in dy.iter().enumerate() {
                d_weight[i] += dy * n[i];
                d_bias[i] += dy;
            }
        }
        if let Some(carried) = inputs.get(3) {
            dx.iter_mut().zip(carried.reals()).for_each(|(dx, &carried)| *dx += carried);
        }
        let mut outputs = vec![Array::real(x.shape().clone(), dx), Array::real([width], d_weight)];
        outputs.extend(self.centred.then(|| Array::real([width], d_bias)));
        outputs
    }
}
