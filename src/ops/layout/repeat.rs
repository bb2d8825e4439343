//! A value several times along an axis.

use super::super::contract::Contract;
use super::super::{reduce, reshape, upstream};
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::check_axis;
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/repeat";

#[derive(Clone, Copy, Debug)]
struct Repeat {
    axis: usize,
    times: usize,
    /// Whether each element is repeated, and not the whole axis.
    each: bool,
}

/// `x`, of any element type, `times` times along `axis`, one copy after the other: `[a, b]` becomes `[a, b, a, b]`, as in NumPy's `tile` and
/// PyTorch's `repeat`.
///
/// No times gives an empty axis; where `times` is 1, nothing runs. Fails when there is no such axis.
pub fn repeat(graph: &mut Graph, x: Value, axis: usize, times: usize) -> Result<Value> {
    graph.push_builtin_one(Repeat { axis, times, each: false }, &[x])
}

/// `x`, of any element type, with each place along `axis` there `times` times: `[a, b]` becomes `[a, a, b, b]`, as in NumPy's `repeat` and
/// PyTorch's `repeat_interleave`.
///
/// Otherwise as [`repeat`].
pub fn repeat_each(graph: &mut Graph, x: Value, axis: usize, times: usize) -> Result<Value> {
    graph.push_builtin_one(Repeat { axis, times, each: true }, &[x])
}

impl Repeat {
    /// Extents of the axes before, along and after `axis` of a value of shape `x`.
    fn parts(self, x: &Shape) -> [usize; 3] {
        let (outer, inner) = x.dims().split_at(self.axis);
        [outer.iter().product(), inner[0], inner[1..].iter().product()]
    }

    /// The shape of the result with an axis of its own for the copies, and which one that is.
    fn copies(self, x: &Shape) -> ([usize; 4], usize) {
        let [outer, extent, inner] = self.parts(x);
        match self.each {
            true => ([outer, extent, self.times, inner], 2),
            false => ([outer, self.times, extent, inner], 1),
        }
    }
}

impl Op for Repeat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        check_axis(&contract, self.axis, &inputs[0])?;
        let mut dims = inputs[0].shape.dims().to_vec();
        // An absurd extent fails a limit check later instead of wrapping.
        dims[self.axis] = dims[self.axis].saturating_mul(self.times);
        Ok(vec![TensorDesc::new(inputs[0].dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [outer, extent, inner] = self.parts(inputs[0].shape());
        let mut places = Vec::with_capacity(outer * extent * self.times * inner);
        for o in 0..outer {
            for i in 0..extent * self.times {
                let place = if self.each { i / self.times } else { i % extent };
                let start = (o * extent + place) * inner;
                places.extend(start..start + inner);
            }
        }
        let mut dims = inputs[0].dims().to_vec();
        dims[self.axis] *= self.times;
        vec![inputs[0].gathered(dims, &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0].shape;
        let [_, extent, inner] = self.parts(x);
        let (extents, copies) = self.copies(x);
        let strides = match copies {
            2 => [extent * inner, inner, 0, 1],
            _ => [extent * inner, 0, inner, 1],
        };
        let block = Block {
            extents: extents.to_vec(),
            x: Place::new(0, &strides),
            result: Place::new(0, &Shape::from(extents).strides()),
        };
        copy::lower(NAME, &[block], step, caps)
    }

    /// `dx` is the sum of `dy` over the copies.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let x = graph.desc(adjoint.inputs()[0])?.shape.clone();
            let (extents, copies) = self.copies(&x);
            let apart = reshape(graph, upstream, extents)?;
            let sum = reduce::sum(graph, apart, &[copies])?;
            reshape(graph, sum, x)
        })
    }
}

/// Both orders, every axis, whole vectors and not, once, never, empty values.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    let problems: [(&'static [usize], (usize, usize)); 11] = [
        (&[1], (0, 1)),
        (&[2], (0, 3)),
        (&[5, 1], (1, 64)),
        (&[5, 3], (0, 1)),
        (&[5, 3], (1, 0)),
        (&[0, 3], (1, 2)),
        (&[64], (0, 2)),
        (&[97, 8], (0, 3)),
        (&[63, 4], (1, 5)),
        (&[2, 5, 3, 4], (2, 4)),
        (&[2, 1, 2, 1, 2, 3, 2, 3], (5, 2)),
    ];
    let all = of_types(
        NAME,
        &DTYPES,
        &problems,
        |(axis, times)| format!("{times} times along {axis}"),
        |graph, x, (axis, times)| repeat(graph, x, axis, times),
    );
    let each = of_types(
        NAME,
        &DTYPES,
        &problems,
        |(axis, times)| format!("each {times} times along {axis}"),
        |graph, x, (axis, times)| repeat_each(graph, x, axis, times),
    );
    all.into_iter().chain(each).collect()
}

/// One write of every element of the result.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    vec![bench(NAME, "256K f32 4 times", 4 << 20, &[256, 1024], |graph, x| repeat(graph, x, 0, 4))]
}
