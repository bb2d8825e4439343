//! The CPU reference. Ids are compared for equality, which among ids that never decrease is a run.

use super::{Kind, Pool};
use crate::tensor::{Array, Real, Shape};

/// The positions of each row that count, for `bounds`, lengths or ids where the spec has them.
fn rows<R: Real>(spec: &Pool, [batch, time]: [usize; 2], bounds: Option<&Array<R>>) -> Vec<Vec<usize>> {
    let segments = spec.segments.map_or(1, |(_, count)| count);
    let bound = |i: usize| bounds.map_or(0, |bounds| bounds.indices()[i]);
    let counts = |b: usize, s: usize, t: usize| match (spec.lengths, spec.segments) {
        (Some(_), _) => (t as i64) < bound(b),
        (None, Some(_)) => bound(b * time + t) == s as i64,
        (None, None) => true,
    };
    let rows = (0..batch).flat_map(|b| (0..segments).map(move |s| (b, s)));
    rows.map(|(b, s)| (0..time).filter(|&t| counts(b, s, t)).collect()).collect()
}

/// Calls `visit` with the place in the result, those of the positions in x that count, and the first position, for each channel of each row.
fn each_pooled<R: Real>(
    spec: &Pool,
    x: &Shape,
    bounds: Option<&Array<R>>,
    mut visit: impl FnMut(usize, &[usize], &[usize]),
) {
    let [batch, time, width] = [0, 1, 2].map(|axis| x.dims()[axis]);
    let segments = spec.segments.map_or(1, |(_, count)| count);
    for (row, positions) in rows(spec, [batch, time], bounds).iter().enumerate() {
        for c in 0..width {
            let first = row / segments * time;
            let places: Vec<usize> = positions.iter().map(|t| (first + t) * width + c).collect();
            visit(row * width + c, positions, &places);
        }
    }
}

/// The shape of what x is pooled to.
fn result(spec: &Pool, x: &Shape) -> Shape {
    let [batch, width] = [0, 2].map(|axis| x.dims()[axis]);
    match spec.segments {
        Some((_, count)) => Shape::from([batch, count, width]),
        None => Shape::from([batch, width]),
    }
}

/// For inputs `x` and, where the spec has them, lengths or ids.
pub(super) fn forward<R: Real>(inputs: &[&Array<R>], spec: &Pool) -> Array<R> {
    let x = inputs[0];
    let result = result(spec, x.shape());
    let mut y = vec![R::zero(); result.elements()];
    each_pooled(spec, x.shape(), inputs.get(1).copied(), |at, _, places| {
        // Of the last, as of the first, one counts.
        let skipped = if spec.kind == Kind::Last { places.len().saturating_sub(1) } else { 0 };
        let terms = places.iter().skip(skipped).map(|&place| x.reals()[place]);
        y[at] = spec.kind.reduction().of(terms.take(spec.kind.most()));
    });
    Array::real(result, y)
}

/// The first position of each of the largest; 0 where no position counts.
pub(super) fn first_largest<R: Real>(inputs: &[&Array<R>], spec: &Pool) -> Array<R> {
    let x = inputs[0];
    let result = result(spec, x.shape());
    let mut chosen = vec![0; result.elements()];
    each_pooled(spec, x.shape(), inputs.get(1).copied(), |at, positions, places| {
        let larger =
            |best: usize, i: usize| if x.reals()[places[i]] > x.reals()[places[best]] { i } else { best };
        let best = (0..places.len()).reduce(larger);
        chosen[at] = best.map_or(0, |best| positions[best] as i64);
    });
    Array::index(result, chosen)
}

/// For inputs upstream, lengths or ids where the spec has them, and where the largest is pooled its position.
pub(super) fn backward<R: Real>(inputs: &[&Array<R>], spec: &Pool, x: &Shape) -> Array<R> {
    let (upstream, last) = (inputs[0].reals(), inputs[inputs.len() - 1]);
    let bounds = spec.places().next().map(|_| inputs[1]);
    let mut dx = vec![R::zero(); x.elements()];
    each_pooled(spec, x, bounds, |at, positions, places| {
        let g = upstream[at];
        for (&t, &place) in positions.iter().zip(places) {
            dx[place] = match spec.kind {
                Kind::Mean => g / R::of(places.len() as f64),
                Kind::First if t == positions[0] => g,
                Kind::Last if Some(&t) == positions.last() => g,
                Kind::Max if t as i64 == last.indices()[at] => g,
                _ => R::zero(),
            };
        }
    });
    Array::real(x.clone(), dx)
}
