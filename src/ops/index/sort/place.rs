//! The gradient of elements picked from rows: `dx[row][positions[row][j]] = dy[row][j]`, and 0 where nothing was picked. No element is picked
//! twice, so that nothing is added.

use super::rows_of;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::ops::fill;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The op whose gradient it is.
    name: &'static str,
    length: usize,
}

/// `values: [.., kept]` at `positions: [.., kept]`, u32 below `length` and all different within a row, in rows of zeros: `[.., length]`.
pub(super) fn place(
    graph: &mut Graph,
    name: &'static str,
    positions: Value,
    values: Value,
    length: usize,
) -> Result<Value> {
    graph.push_builtin_one(Place { name, length }, &[positions, values])
}

impl Op for Place {
    fn name(&self) -> &'static str {
        self.name
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name);
        contract.count(inputs, &["positions", "upstream"])?;
        contract.float("upstream", &inputs[1])?;
        let mut dims = inputs[1].shape.dims().to_vec();
        if let Some(length) = dims.last_mut() {
            *length = self.length;
        }
        Ok(vec![TensorDesc::new(inputs[1].dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (positions, values) = (inputs[0], inputs[1]);
        let mut dims = values.dims().to_vec();
        let kept = dims.last().copied().unwrap_or(1);
        if let Some(length) = dims.last_mut() {
            *length = self.length;
        }
        let mut placed = vec![R::zero(); dims.iter().product()];
        for (i, (&position, &value)) in positions.indices().iter().zip(values.reals()).enumerate() {
            placed[i / kept * self.length + position as usize] = value;
        }
        vec![Array::real(dims, placed)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (values, result) = (&step.inputs[1], &step.outputs[0]);
        let [_, kept] = rows_of(values);
        let place = Kernel::new("sort, gradient", [wgsl!("index/sort/place.wgsl")])
            .read("positions", Operand::Input(0), DType::U32)
            .read("values", Operand::Input(1), values.dtype)
            .write("result", Operand::Output(0), result.dtype)
            .params(super::PickParams {
                length: to_u32(self.name, "length", self.length)?,
                kept: to_u32(self.name, "k", kept)?,
            })
            .per_element(to_u32(self.name, "elements", values.elements())?, caps);
        let mut dispatches = vec![place];
        if kept < self.length {
            dispatches.insert(0, fill::zeros(self.name, result, Operand::Output(0), caps)?);
        }
        let reason = format!("{kept} of {} elements of a row", self.length);
        Ok(Lowered::streaming("elements to their places", reason, dispatches, Vec::new()))
    }
}
