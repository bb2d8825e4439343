//! A value whose elements are all one number.

use super::contract::{Contract, to_u32};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

const NAME: &str = "fill";

params! {
    struct FillParams {
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
    Ok(Kernel::new(NAME, [wgsl!("fill.wgsl")])
        .lanes(lanes)
        .write("result", to, result.dtype)
        .params(FillParams { value })
        .per_element(count, caps))
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
        let dispatch = dispatch(NAME, result, self.value, Operand::Output(0), caps)?;
        Ok(Lowered::elementwise(dispatch, lanes(result)))
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(Vec::new())
    }
}

/// Vector and scalar widths, empty values, numbers that f16 rounds.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::check::Case;

    let shapes: [&'static [usize]; 8] = [&[], &[0, 3], &[1], &[63], &[64], &[5, 13], &[97], &[1000, 3]];
    let mut cases = Vec::new();
    for (dtype, largest) in [(DType::F32, f32::MAX), (DType::F16, 65_504.0)] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                Ok(vec![fill(&mut problem.graph, TensorDesc::new(dtype, shape), -1.1)?])
            }));
        }
        for value in [0.0, 1.0, largest, -largest] {
            cases.push(Case::new(NAME, format!("{dtype} of {value:e}"), move |problem| {
                Ok(vec![fill(&mut problem.graph, TensorDesc::new(dtype, [2, 3]), value)?])
            }));
        }
    }
    cases
}

/// One write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    vec![Bench::new(NAME, "1M f32", Work::Bytes(4 << 20), |problem| {
        Ok(vec![fill(&mut problem.graph, TensorDesc::f32([1 << 20]), 1.0)?])
    })]
}
