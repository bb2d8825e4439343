//! The CPU reference. Ids are compared for equality, which among ids that never decrease is a run.

use super::{Kind, Pool};
use crate::tensor::{Array, Real};

/// For inputs `x` and, where the spec has them, lengths or ids.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], spec: &Pool) -> Array<R> {
    let x = inputs[0];
    let [batch, time, width] = [0, 1, 2].map(|axis| x.dims()[axis]);
    let segments = spec.segments.map_or(1, |(_, count)| count);
    let counts = |b: usize, s: usize, t: usize| match (spec.lengths, spec.segments) {
        (Some(_), _) => (t as i64) < inputs[1].indices()[b],
        (None, Some(_)) => inputs[1].indices()[b * time + t] == s as i64,
        (None, None) => true,
    };
    let mut y = Vec::with_capacity(batch * segments * width);
    for (b, s) in (0..batch).flat_map(|b| (0..segments).map(move |s| (b, s))) {
        let positions: Vec<usize> = (0..time).filter(|&t| counts(b, s, t)).collect();
        y.extend(
            (0..width)
                .map(|c| pooled(spec.kind, positions.iter().map(|&t| x.reals()[(b * time + t) * width + c]))),
        );
    }
    match spec.segments {
        Some(_) => Array::real([batch, segments, width], y),
        None => Array::real([batch, width], y),
    }
}

fn pooled<R: Real>(kind: Kind, mut xs: impl ExactSizeIterator<Item = R>) -> R {
    let positions = R::of(xs.len() as f64);
    match kind {
        _ if positions.is_zero() => R::zero(),
        Kind::Mean => xs.sum::<R>() / positions,
        Kind::Max => xs.fold(R::neg_infinity(), R::max),
        Kind::First => xs.next().unwrap_or(R::zero()),
    }
}
