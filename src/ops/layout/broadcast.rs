//! A value repeated along axes.

use super::super::contract::Contract;
use super::super::elementwise::sum_to;
use super::super::upstream;
#[cfg(feature = "check")]
use super::cases::{DTYPES, bench, of_types};
use super::copy::{self, Block, Place};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/broadcast";

#[derive(Clone, Debug)]
struct Broadcast {
    shape: Shape,
}

/// `x`, of any element type, repeated until it has `shape`.
///
/// Axes are matched from the last one; an axis of `x` that is missing or of extent 1 repeats. Where none repeats, nothing runs.
/// Fails when another axis differs, or `shape` has fewer axes than `x` or more than a value may have.
pub fn broadcast(graph: &mut Graph, x: Value, shape: impl Into<Shape>) -> Result<Value> {
    graph.push_builtin_one(Broadcast { shape: shape.into() }, &[x])
}

/// How far apart neighbours along each axis of a result of `rank` axes lie in `x`; 0 where `x` repeats.
fn strides(x: &Shape, rank: usize) -> Vec<usize> {
    let missing = vec![0; rank - x.rank()];
    let own = x.dims().iter().zip(x.strides()).map(|(&extent, stride)| if extent == 1 { 0 } else { stride });
    missing.into_iter().chain(own).collect()
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        let desc = TensorDesc::new(inputs[0].dtype, self.shape.clone());
        desc.check_rank(NAME, "shape")?;
        let x = &inputs[0].shape;
        let fits = |(&of_x, &of_result): (&usize, &usize)| of_x == 1 || of_x == of_result;
        let mut pairs = x.dims().iter().rev().zip(self.shape.dims().iter().rev());
        if x.rank() > self.shape.rank() || !pairs.all(fits) {
            return Err(contract
                .argument_error("shape")
                .expecting(format!("a shape that {x} broadcasts to"))
                .but_found(&self.shape));
        }
        Ok(vec![desc])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let rank = self.shape.rank();
        let (own, x) = (self.shape.strides(), strides(inputs[0].shape(), rank));
        let place = |i: usize| -> usize {
            (0..rank).map(|axis| i / own[axis] % self.shape.dims()[axis] * x[axis]).sum()
        };
        let places: Vec<usize> = (0..self.shape.elements()).map(place).collect();
        vec![inputs[0].gathered(self.shape.clone(), &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, result) = (&step.inputs[0].shape, &step.outputs[0].shape);
        let block = Block {
            extents: result.dims().to_vec(),
            x: Place::new(0, &strides(x, result.rank())),
            result: Place::new(0, &result.strides()),
        };
        copy::lower(NAME, &[block], step, caps)
    }

    /// `dx = sum dy` over the axes that repeat.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| sum_to(graph, upstream, adjoint.inputs()[0]))
    }
}

/// Axes that are missing, of extent 1, or empty, inside and outside of vectors.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    let problems: [(&'static [usize], &'static [usize]); 16] = [
        (&[], &[]),
        (&[], &[3]),
        (&[1], &[64]),
        (&[5], &[5]),
        (&[1, 5], &[1, 5]),
        (&[2, 1], &[2, 63]),
        (&[1, 65], &[3, 65]),
        (&[64], &[7, 64]),
        (&[97], &[2, 3, 97]),
        (&[3, 1, 4], &[3, 5, 4]),
        (&[3, 1, 2], &[2, 3, 5, 2]),
        (&[1000, 1], &[1000, 4]),
        (&[1, 3], &[0, 3]),
        (&[2, 1], &[2, 0]),
        (&[0, 1], &[0, 4]),
        (&[2, 1, 2, 1, 2, 1, 2, 1], &[2, 3, 2, 3, 2, 3, 2, 3]),
    ];
    of_types(NAME, &DTYPES, &problems, |&shape| format!("to {}", Shape::from(shape)), broadcast)
}

/// One write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    let of = |label, shape| bench(NAME, label, 4 << 20, shape, |graph, x| broadcast(graph, x, [1024, 1024]));
    vec![of("1M f32, a row", &[1, 1024]), of("1M f32, a column", &[1024, 1])]
}
