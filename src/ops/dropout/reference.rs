//! The CPU reference.

use super::Dropout;
use crate::ops::philox::philox;
use crate::tensor::{Array, Real};

pub(super) fn forward<R: Real>(spec: &Dropout, x: &Array<R>, step: u32) -> Array<R> {
    let (threshold, scale) = (spec.threshold(), R::of(spec.scale()));
    let mut y = Vec::with_capacity(x.reals().len());
    for (block, elements) in x.reals().chunks(4).enumerate() {
        let numbers = philox([block as u32, step, spec.stream, 0], spec.key());
        let kept = numbers.map(|number| number >= threshold);
        y.extend(elements.iter().zip(kept).map(|(&x, kept)| if kept { x * scale } else { R::zero() }));
    }
    Array::real(x.shape().clone(), y)
}
