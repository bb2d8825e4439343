//! The axes of a value in another order.

use super::super::contract::Contract;
use super::super::upstream;
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/transpose";

#[derive(Clone, Debug)]
struct Transpose {
    axes: Vec<usize>,
}

/// `x` with its axes in another order: axis `i` of the result is axis `axes[i]` of `x`, of any element type.
///
/// Where only axes of extent 1 change places, nothing runs. Fails when `axes` does not name every axis of `x` once.
pub fn transpose(graph: &mut Graph, x: Value, axes: &[usize]) -> Result<Value> {
    graph.push_builtin_one(Transpose { axes: axes.to_vec() }, &[x])
}

impl Transpose {
    /// What `x` has along each axis of the result.
    fn permuted(&self, of_x: &[usize]) -> Vec<usize> {
        self.axes.iter().map(|&axis| of_x[axis]).collect()
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        let rank = inputs[0].shape.rank();
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..rank) {
            return Err(contract
                .argument_error("axes")
                .expecting(format!("each of the {rank} axes of {} once", inputs[0].shape))
                .but_found(Shape::from(&self.axes[..])));
        }
        Ok(vec![TensorDesc::new(inputs[0].dtype, self.permuted(inputs[0].shape.dims()))])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let shape = Shape::from(self.permuted(inputs[0].dims()));
        let (strides, x_strides) = (shape.strides(), self.permuted(&inputs[0].shape().strides()));
        let places = (0..shape.elements()).map(|i| {
            let position = |axis: usize| i / strides[axis] % shape.dims()[axis];
            (0..shape.rank()).map(|axis| position(axis) * x_strides[axis]).sum()
        });
        let places: Vec<usize> = places.collect();
        vec![inputs[0].gathered(shape, &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, result) = (&step.inputs[0].shape, &step.outputs[0].shape);
        let block = Block {
            extents: result.dims().to_vec(),
            x: Place::new(0, &self.permuted(&x.strides())),
            result: Place::new(0, &result.strides()),
        };
        copy::lower(NAME, &[block], step, caps)
    }

    /// `dx` is `dy` with every axis back at its place.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut back = vec![0; self.axes.len()];
        for (i, &axis) in self.axes.iter().enumerate() {
            back[axis] = i;
        }
        upstream::to_input(adjoint, |upstream| transpose(graph, upstream, &back))
    }
}

/// Swaps that keep rows whole and swaps that do not, views, every rank.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    let problems: [(&'static [usize], &'static [usize]); 16] = [
        (&[], &[]),
        (&[5], &[0]),
        (&[1, 5], &[1, 0]),
        (&[3, 1, 5, 1], &[1, 0, 3, 2]),
        (&[1, 2], &[1, 0]),
        (&[2, 2], &[1, 0]),
        (&[0, 3], &[1, 0]),
        (&[3, 0, 2], &[2, 0, 1]),
        (&[63, 65], &[1, 0]),
        (&[64, 97], &[1, 0]),
        (&[1000, 4], &[1, 0]),
        (&[2, 5, 3, 8], &[0, 2, 1, 3]),
        (&[2, 3, 5, 7], &[0, 2, 1, 3]),
        (&[2, 3, 5, 4], &[3, 1, 0, 2]),
        (&[4, 1, 3, 4], &[2, 1, 0, 3]),
        (&[2, 3, 2, 3, 2, 3, 2, 3], &[7, 0, 6, 1, 5, 2, 4, 3]),
    ];
    of_types(NAME, &DTYPES, &problems, |axes| format!("by {axes:?}"), transpose)
}

/// One read and one write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    let by = |label, shape, order: &'static [usize]| {
        bench(NAME, label, 8 << 20, shape, move |graph, x| transpose(graph, x, order))
    };
    vec![
        by("1M f32, heads outwards", &[4, 256, 16, 64], &[0, 2, 1, 3]),
        by("1M f32, a matrix", &[1024, 1024], &[1, 0]),
    ]
}
