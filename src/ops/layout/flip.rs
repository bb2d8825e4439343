//! Elements in reverse order along axes.

use super::super::contract::Contract;
use super::super::upstream;
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/flip";

#[derive(Clone, Debug)]
struct Flip {
    axes: Vec<usize>,
}

/// `x`, of any element type, in reverse order along each of `axes`.
///
/// Where only axes of extent 1, or none, are reversed, nothing runs. Fails when `axes` names one twice or one that `x` lacks.
pub fn flip(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    graph.push_builtin_one(Flip { axes: axes.to_vec() }, &[x])
}

impl Op for Flip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        let shape = &inputs[0].shape;
        for (i, axis) in self.axes.iter().enumerate() {
            if *axis >= shape.rank() || self.axes[..i].contains(axis) {
                return Err(contract
                    .argument_error("axes")
                    .expecting(format!("some of the {} axes of {shape}, each once", shape.rank()))
                    .but_found(Shape::from(&self.axes[..])));
            }
        }
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (shape, strides) = (inputs[0].shape(), inputs[0].shape().strides());
        let from = |i: usize| {
            self.axes.iter().fold(i, |from, &axis| {
                let place = i / strides[axis] % shape.dims()[axis];
                from - place * strides[axis] + (shape.dims()[axis] - 1 - place) * strides[axis]
            })
        };
        let places: Vec<usize> = (0..shape.elements()).map(from).collect();
        vec![inputs[0].gathered(shape.clone(), &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let shape = &step.inputs[0].shape;
        let mut x = Place::new(0, &shape.strides());
        for &axis in self.axes.iter().filter(|&&axis| shape.dims()[axis] > 1) {
            x.reverse(axis, shape.dims()[axis]);
        }
        let result = Place::new(0, &shape.strides());
        copy::lower(NAME, &[Block { extents: shape.dims().to_vec(), x, result }], step, caps)
    }

    /// `dx` is `dy` in reverse order.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| flip(graph, upstream, &self.axes))
    }
}

/// Every axis, several, none; whole vectors and not, empty values.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    let problems: [(&'static [usize], &'static [usize]); 13] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[1, 5], &[0]),
        (&[0, 3], &[1]),
        (&[3, 0], &[1, 0]),
        (&[64], &[0]),
        (&[97, 64], &[0]),
        (&[65, 63], &[1]),
        (&[65, 8], &[1, 0]),
        (&[2, 3, 4, 5], &[1, 3]),
        (&[2, 3, 4, 4], &[0, 2]),
        (&[1000, 4], &[0]),
        (&[2, 3, 2, 3, 2, 3, 2, 3], &[0, 3, 4, 7]),
    ];
    of_types(NAME, &DTYPES, &problems, |axes| format!("along {axes:?}"), flip)
}

/// One read and one write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    let along =
        |label, axis| bench(NAME, label, 8 << 20, &[1024, 1024], move |graph, x| flip(graph, x, &[axis]));
    vec![along("1M f32 along rows", 0), along("1M f32 along columns", 1)]
}
