//! A value whose elements are all one number: what gradients start from.

#[cfg(feature = "check")]
mod cases;

use super::contract::{Contract, to_u32};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "fill";

params! {
    /// `count` is in packs.
    struct FillParams {
        count: u32,
        workgroups: u32,
        value: f32,
    }
}

#[derive(Clone, Debug)]
struct Fill {
    desc: TensorDesc,
    value: f32,
}

/// A value of `desc`, of any shape, whose every element is `value`, rounded to the element type.
///
/// Fails when the element type is not a float, the rank is too high, or `value` is not finite or beyond the element type's range.
pub fn fill(graph: &mut Graph, desc: TensorDesc, value: f32) -> Result<Value> {
    graph.push_builtin_one(Fill { desc, value }, &[])
}

fn lanes(result: &TensorDesc) -> u32 {
    if result.elements().is_multiple_of(4) { 4 } else { 1 }
}

fn dispatch(op: &'static str, result: &TensorDesc, value: f32, to: Operand, caps: &Caps) -> Result<Dispatch> {
    let lanes = lanes(result);
    let count = to_u32(op, "elements", result.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let shader = Shader::new(NAME, [wgsl!("fill/fill.wgsl")])
        .alias("Pack", result.dtype, lanes)
        .alias("Lanes", DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.element_lanes);
    Ok(Dispatch {
        shader,
        bindings: vec![("result", to)],
        params: FillParams { count, workgroups, value }.into(),
        workgroups: workgroups.into(),
    })
}

/// Zeros all of `to`, for other ops' kernels that write parts of it.
pub(in crate::ops) fn zeros(
    op: &'static str,
    result: &TensorDesc,
    to: Operand,
    caps: &Caps,
) -> Result<Dispatch> {
    dispatch(op, result, 0.0, to, caps)
}

impl Op for Fill {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &[])?;
        contract.float("desc", &self.desc)?;
        self.desc.check_rank(NAME, "desc")?;
        let largest = if self.desc.dtype == DType::F16 { half::f16::MAX.to_f32() } else { f32::MAX };
        // A NaN is on neither side of a bound.
        if !(-largest..=largest).contains(&self.value) {
            return Err(contract
                .argument_error("value")
                .expecting(format!("a finite number within {largest:e} of 0, as {} holds", self.desc.dtype))
                .but_found(self.value));
        }
        Ok(vec![self.desc.clone()])
    }

    fn reference<R: Real>(&self, _: &[&Array<R>]) -> Vec<Array<R>> {
        let elements = vec![R::of(self.value.into()); self.desc.elements()];
        vec![Array::real(self.desc.shape.clone(), elements)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let result = &step.outputs[0];
        Ok(Lowered::Kernels {
            choice: Choice {
                tier: Tier::Streaming,
                kernel: format!("{NAME} x{}", lanes(result)).into(),
                reason: "as many elements at a time as divide their number".into(),
            },
            dispatches: vec![dispatch(NAME, result, self.value, Operand::Output(0), caps)?],
            scratch: Vec::new(),
        })
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(Vec::new())
    }
}
