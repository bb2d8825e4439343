//! The CPU reference.

use super::table::Kind;
use crate::tensor::{Array, Real, Shape};

/// Where the elements of `x` go when `axes` are reduced.
pub(super) struct Places {
    /// Of the result.
    pub(super) shape: Shape,
    x: Shape,
    /// Of each axis of x: how far apart neighbours along it lie in the result, and in the row-major order of a result's terms.
    pub(super) steps: Vec<[usize; 2]>,
}

impl Places {
    pub(super) fn of(x: &Shape, axes: &[usize]) -> Self {
        let dims = x.dims().iter().enumerate();
        let [kept, reduced] = [false, true].map(|reduced| {
            let of_axis = |(axis, &extent)| if axes.contains(&axis) == reduced { extent } else { 1 };
            Shape::from(dims.clone().map(of_axis).collect::<Vec<_>>())
        });
        let strides = kept.strides().into_iter().zip(reduced.strides()).enumerate();
        let steps = strides.map(|(axis, (kept, reduced))| match axes.contains(&axis) {
            true => [0, reduced],
            false => [kept, 0],
        });
        Self { steps: steps.collect(), x: x.clone(), shape: kept }
    }

    /// Result and term of element `i`.
    pub(super) fn at(&self, i: usize) -> [usize; 2] {
        let (mut rest, mut place) = (i, [0; 2]);
        for (axis, &extent) in self.x.dims().iter().enumerate().rev() {
            let position = rest % extent;
            rest /= extent;
            place = [0, 1].map(|part| place[part] + position * self.steps[axis][part]);
        }
        place
    }
}

pub(super) fn value<R: Real>(x: &Array<R>, axes: &[usize], kind: Kind) -> Array<R> {
    let places = Places::of(x.shape(), axes);
    let mut y: Vec<Option<R>> = vec![None; places.shape.elements()];
    for (i, &x_i) in x.reals().iter().enumerate() {
        let so_far = &mut y[places.at(i)[0]];
        *so_far = Some(so_far.map_or(x_i, |so_far| kind.combine(so_far, x_i)));
    }
    let terms = x.shape().elements().checked_div(y.len()).unwrap_or(0);
    let y = y.into_iter().map(|y| kind.finish(y.unwrap_or(R::zero()), terms)).collect();
    Array::real(places.shape, y)
}

/// Of several that are as large or small, the first.
pub(super) fn first_place<R: Real>(x: &Array<R>, axes: &[usize], smallest: bool) -> Array<R> {
    let places = Places::of(x.shape(), axes);
    let mut found: Vec<Option<(R, usize)>> = vec![None; places.shape.elements()];
    for (i, &x_i) in x.reals().iter().enumerate() {
        let [result, term] = places.at(i);
        let better = |so_far: R| if smallest { x_i < so_far } else { x_i > so_far };
        if found[result].is_none_or(|(so_far, _)| better(so_far)) {
            found[result] = Some((x_i, term));
        }
    }
    let found = found.into_iter().map(|found| found.map_or(0, |(_, term)| term as i64)).collect();
    Array::index(places.shape, found)
}

/// `upstream` at the `chosen` term of each result, 0 elsewhere.
pub(super) fn to_chosen<R: Real>(
    upstream: &Array<R>,
    chosen: &Array<R>,
    axes: &[usize],
    x: &Shape,
) -> Array<R> {
    let places = Places::of(x, axes);
    let dx = (0..x.elements()).map(|i| {
        let [result, term] = places.at(i);
        if chosen.indices()[result] == term as i64 { upstream.reals()[result] } else { R::zero() }
    });
    Array::real(x.clone(), dx.collect())
}
