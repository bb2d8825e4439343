//! A range of one axis.

use std::ops::Range;

use super::super::contract::Contract;
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::check_axis;
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/slice";

#[derive(Clone, Debug)]
struct Slice {
    axis: usize,
    range: Range<usize>,
}

/// The elements of `x`, of any type, whose place along `axis` lies in `range`.
///
/// The range may be empty; where it is all of the axis, nothing runs. Fails when there is no such axis, or the range leaves it.
pub fn slice(graph: &mut Graph, x: Value, axis: usize, range: Range<usize>) -> Result<Value> {
    graph.push_builtin_one(Slice { axis, range }, &[x])
}

/// `x` cut along `axis` into pieces of the given `sizes`, in order: a [`slice()`] for each.
///
/// Fails when there is no such axis, or the sizes do not sum to its extent.
pub fn split(graph: &mut Graph, x: Value, axis: usize, sizes: &[usize]) -> Result<Vec<Value>> {
    let contract = Contract::new(NAME);
    let desc = graph.desc(x)?;
    check_axis(&contract, axis, desc)?;
    let extent = desc.shape.dims()[axis];
    let sum = sizes.iter().fold(0_usize, |sum, &size| sum.saturating_add(size));
    if sum != extent {
        return Err(contract
            .argument_error("sizes")
            .expecting(format!("a sum of {extent}, the extent of axis {axis}"))
            .but_found(format!("{sum} of {}", Shape::from(sizes))));
    }
    let mut start = 0;
    sizes
        .iter()
        .map(|&size| {
            let range = start..start + size;
            start = range.end;
            slice(graph, x, axis, range)
        })
        .collect()
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        check_axis(&contract, self.axis, &inputs[0])?;
        let Range { start, end } = self.range;
        let mut dims = inputs[0].shape.dims().to_vec();
        if start > end || end > dims[self.axis] {
            return Err(contract
                .argument_error("range")
                .expecting(format!("a range within 0..{}, the extent of axis {}", dims[self.axis], self.axis))
                .but_found(format!("{start}..{end}")));
        }
        dims[self.axis] = end - start;
        Ok(vec![TensorDesc::new(inputs[0].dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut shape = x.dims().to_vec();
        shape[self.axis] = self.range.len();
        let outer: usize = shape[..self.axis].iter().product();
        let inner: usize = shape[self.axis + 1..].iter().product();
        let mut places = Vec::with_capacity(outer * self.range.len() * inner);
        for o in 0..outer {
            let row = o * x.dims()[self.axis];
            places.extend((row + self.range.start) * inner..(row + self.range.end) * inner);
        }
        vec![x.gathered(shape, &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, result) = (&step.inputs[0].shape, &step.outputs[0].shape);
        let block = Block {
            extents: result.dims().to_vec(),
            x: Place::new(self.range.start * x.strides()[self.axis], &x.strides()),
            result: Place::new(0, &result.strides()),
        };
        copy::lower(NAME, &[block], step, caps)
    }

    /// `dx = dy` where `x` was read, and 0 elsewhere.
    fn backward(&self, _: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let cut = |value| Gradient::Slice { axis: self.axis, start: self.range.start, value };
        Ok(vec![adjoint.upstream(0).map_or(Gradient::None, cut)])
    }
}

/// Every axis, ranges that start on whole vectors and ranges that do not, empty and full ones, a split.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::check::Case;

    /// A shape, and the axis with what is kept of it.
    type Sliced = (&'static [usize], (usize, Range<usize>));
    let problems: [Sliced; 14] = [
        (&[1], (0, 0..1)),
        (&[5], (0, 4..5)),
        (&[64], (0, 8..64)),
        (&[65], (0, 1..65)),
        (&[1000], (0, 63..160)),
        (&[7, 3], (0, 2..2)),
        (&[0, 3], (1, 1..3)),
        (&[7, 8], (1, 4..8)),
        (&[7, 8], (1, 3..7)),
        (&[7, 9], (1, 4..8)),
        (&[9, 4], (0, 3..9)),
        (&[3, 5, 4], (1, 1..4)),
        (&[3, 5, 2, 3], (2, 1..2)),
        (&[2, 1, 2, 1, 2, 3, 2, 3], (5, 1..3)),
    ];
    let label = |(axis, range): &(usize, Range<usize>)| format!("with {range:?} along {axis}");
    let append = |graph: &mut _, x, (axis, range)| slice(graph, x, axis, range);
    let mut cases = of_types(NAME, &DTYPES, &problems, label, append);
    for (dtype, amplitude) in DTYPES {
        cases.push(Case::new(NAME, format!("{dtype} [5, 24] split along 1"), move |problem| {
            let x = problem.random("x", dtype, [5, 24], amplitude)?;
            split(&mut problem.graph, x, 1, &[8, 0, 3, 13])
        }));
    }
    cases
}

/// One read and one write of every element of the result.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    let third = |graph: &mut Graph, x| slice(graph, x, 1, 1024..2048);
    vec![bench(NAME, "1M f32, a third of the columns", 8 << 20, &[1024, 3072], third)]
}
