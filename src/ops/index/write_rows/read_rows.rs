//! Rows read from positions that the device knows.

use super::{Window, check_positions, write_rows};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::Contract;
use crate::ops::fill::fill;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use super::cases::{benches_of_reading as benches, cases_of_reading as cases};

pub(super) const NAME: &str = "index/read_rows";

#[derive(Clone, Copy, Debug)]
struct ReadRows {
    count: usize,
    dtype: DType,
}

/// The `count` rows from `at` on of `x: [batch.., capacity, row..]`, of any type: `y[b][j] = x[b][at[b] + j]`, `[batch.., count, row..]`.
///
/// `at`, i32, has the batch axes as its shape: a scalar where there are none. Its elements are read on the device. Rows whose position is
/// negative or no less than `capacity` are 0. The gradient of `x` is [`write_rows()`] into zeros. Fails when shapes or types do not fit.
pub fn read_rows(graph: &mut Graph, x: Value, at: Value, count: usize) -> Result<Value> {
    let dtype = graph.desc(x)?.dtype;
    graph.push_builtin_one(ReadRows { count, dtype }, &[x, at])
}

impl Op for ReadRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "at"])?;
        let (x, at) = (&inputs[0], &inputs[1]);
        check_positions(&contract, "x", x, at)?;
        let mut dims = x.shape.dims().to_vec();
        dims[at.shape.rank()] = self.count;
        Ok(vec![TensorDesc::new(x.dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, at) = (inputs[0], inputs[1]);
        let mut dims = x.dims().to_vec();
        dims[at.shape().rank()] = self.count;
        let window = Window::new(x.shape(), at.shape(), self.count);
        let elements: usize = dims.iter().product();
        if self.dtype.is_integer() {
            let mut integers = vec![0; elements];
            for (to, from) in window.places(at.indices()) {
                integers[to] = x.indices()[from];
            }
            return vec![Array::index(dims, integers)];
        }
        let mut reals = vec![R::zero(); elements];
        for (to, from) in window.places(at.indices()) {
            reals[to] = x.reals()[from];
        }
        vec![Array::real(dims, reals)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let window = Window::new(&x.shape, &step.inputs[1].shape, self.count);
        let element = if x.dtype.is_float() { DType::F32 } else { x.dtype };
        let kernel = Kernel::new(NAME, [wgsl!("index/write_rows/read.wgsl")])
            .lanes(window.lanes())
            .alias("Element", element)
            .read("x", Operand::Input(0), x.dtype)
            .write("result", Operand::Output(0), x.dtype);
        let dispatch = window.dispatch(NAME, kernel, Operand::Input(1), caps)?;
        Ok(Lowered::elementwise(dispatch, window.lanes()))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (x, at) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        crate::ops::upstream::to_input(adjoint, |upstream| {
            let zeros = fill(graph, graph.desc(x)?.clone(), 0.0)?;
            write_rows(graph, zeros, upstream, at)
        })
    }
}
