//! Elements moved along an axis, those that leave at its end coming back at its start.

use super::super::contract::Contract;
use super::super::upstream;
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::check_axis;
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

const NAME: &str = "layout/roll";

#[derive(Clone, Copy, Debug)]
struct Roll {
    axis: usize,
    shift: isize,
}

/// `x`, of any element type, moved by `shift` along `axis`: what was at place `p` is at `(p + shift) mod extent`, as in NumPy's and PyTorch's
/// `roll`.
///
/// A negative shift moves towards the start. Where nothing moves, nothing runs. Fails when there is no such axis.
pub fn roll(graph: &mut Graph, x: Value, axis: usize, shift: isize) -> Result<Value> {
    graph.push_builtin_one(Roll { axis, shift }, &[x])
}

impl Roll {
    /// Places by which elements of an axis of `extent` move, below it.
    fn places(self, extent: usize) -> usize {
        // Extents of values that exist are within isize.
        match isize::try_from(extent) {
            Ok(extent) if extent > 0 => self.shift.rem_euclid(extent) as usize,
            _ => 0,
        }
    }
}

impl Op for Roll {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        check_axis(&contract, self.axis, &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let shape = inputs[0].shape();
        let (extent, stride) = (shape.dims()[self.axis], shape.strides()[self.axis]);
        let from = |i: usize| {
            let place = i / stride % extent;
            let before = (place as i128 - self.shift as i128).rem_euclid(extent as i128) as usize;
            i - place * stride + before * stride
        };
        let places: Vec<usize> = (0..shape.elements()).map(from).collect();
        vec![inputs[0].gathered(shape.clone(), &places)]
    }

    /// The part that stays in order and the part that comes back at the start, each a block.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let shape = &step.inputs[0].shape;
        let (extent, strides) = (shape.dims()[self.axis], shape.strides());
        let places = self.places(extent);
        let block = |from: usize, to: usize, count: usize| {
            let mut extents = shape.dims().to_vec();
            extents[self.axis] = count;
            let place = |start| Place::new(start * strides[self.axis], &strides);
            Block { extents, x: place(from), result: place(to) }
        };
        if places == 0 {
            return copy::lower(NAME, &[block(0, 0, extent)], step, caps);
        }
        let blocks = [block(0, places, extent - places), block(extent - places, 0, places)];
        copy::lower(NAME, &blocks, step, caps)
    }

    /// `dx` is `dy` moved back.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let extent = graph.desc(adjoint.inputs()[0])?.shape.dims()[self.axis];
        let back = -(self.places(extent) as isize);
        upstream::to_input(adjoint, |upstream| roll(graph, upstream, self.axis, back))
    }
}

/// Every axis, both directions, shifts within the extent, of it and beyond it, empty values.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    let problems: [(&'static [usize], (usize, isize)); 13] = [
        (&[5], (0, 1)),
        (&[5], (0, -7)),
        (&[5], (0, 10)),
        (&[1], (0, 3)),
        (&[0], (0, 3)),
        (&[0, 4], (1, 3)),
        (&[64], (0, 8)),
        (&[97, 64], (0, 60)),
        (&[65, 8], (1, 4)),
        (&[65, 8], (1, -3)),
        (&[3, 63, 2], (1, isize::MIN)),
        (&[2, 3, 4, 5], (2, isize::MAX)),
        (&[1000, 3], (0, 999)),
    ];
    let label = |(axis, shift): &(usize, isize)| format!("by {shift} along {axis}");
    of_types(NAME, &DTYPES, &problems, label, |graph, x, (axis, shift)| roll(graph, x, axis, shift))
}

/// One read and one write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    vec![bench(NAME, "1M f32 along rows", 8 << 20, &[1024, 1024], |graph, x| roll(graph, x, 0, 100))]
}
