//! The gradient of the largest and the smallest element: upstream where it was found, and 0 elsewhere.

use super::reference;
use super::reference::Places;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, MAX_RANK, Real, Shape, TensorDesc};

const NAME: &str = "reduce_to_chosen";

params! {
    /// Of each axis of x, innermost first: its extent, and how far apart neighbours along it lie in the result and in the order of a
    /// result's terms.
    struct ToChosenParams {
        extents: [u32; 8],
        result_strides: [u32; 8],
        place_strides: [u32; 8],
        axes: u32,
    }
}

/// What `upstream`, the gradient of a reduction over `axes` of a value of shape `x`, is for that value, of which each result is the
/// element at `chosen`.
pub(super) fn to_chosen(
    graph: &mut Graph,
    upstream: Value,
    chosen: Value,
    axes: &[usize],
    x: Shape,
) -> Result<Value> {
    graph.push_builtin_one(ToChosen { axes: axes.to_vec(), x }, &[upstream, chosen])
}

#[derive(Clone, Debug)]
struct ToChosen {
    axes: Vec<usize>,
    x: Shape,
}

impl Op for ToChosen {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["upstream", "chosen"])?;
        contract.float("upstream", &inputs[0])?;
        contract.dtype("chosen", &inputs[1], DType::U32)?;
        let expected = Places::of(&self.x, &self.axes).shape;
        for (argument, desc) in [("upstream", &inputs[0]), ("chosen", &inputs[1])] {
            if desc.shape != expected {
                return Err(contract.shape_error(argument).expecting(&expected).but_found(&desc.shape));
            }
        }
        Ok(vec![TensorDesc::new(inputs[0].dtype, self.x.clone())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::to_chosen(inputs[0], inputs[1], &self.axes, &self.x)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let steps = Places::of(&self.x, &self.axes).steps;
        let mut params = ToChosenParams {
            extents: [1; MAX_RANK],
            result_strides: [0; MAX_RANK],
            place_strides: [0; MAX_RANK],
            axes: self.x.rank() as u32,
        };
        for (i, (&extent, [result, place])) in self.x.dims().iter().zip(steps).rev().enumerate() {
            params.extents[i] = to_u32(NAME, "extent", extent)?;
            params.result_strides[i] = to_u32(NAME, "stride", result)?;
            params.place_strides[i] = to_u32(NAME, "stride", place)?;
        }
        let dtype = step.outputs[0].dtype;
        let dispatch = Kernel::new(NAME, [wgsl!("reduce/to_chosen.wgsl")])
            .read("upstream", Operand::Input(0), dtype)
            .read("chosen", Operand::Input(1), DType::U32)
            .write("dx", Operand::Output(0), dtype)
            .params(params)
            .turns(self.x.rank() as u64)
            .per_element(to_u32(NAME, "elements", self.x.elements())?, caps);
        Ok(Lowered::elementwise(dispatch, 1))
    }
}
