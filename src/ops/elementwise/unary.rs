//! Contract and kernel shared by ops of one argument.

use super::super::contract::{Contract, to_u32};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::tensor::TensorDesc;

params! {
    /// `argument` is what the op's `apply` takes besides the element.
    struct UnaryParams {
        count: u32,
        workgroups: u32,
        argument: f32,
    }
}

/// The one float argument of any shape, empty included.
pub(super) fn contract(op: &'static str, inputs: &[TensorDesc]) -> Result<TensorDesc> {
    let contract = Contract::new(op);
    contract.count(inputs, &["x"])?;
    contract.float("x", &inputs[0])?;
    Ok(inputs[0].clone())
}

/// One dispatch that writes `apply(x, argument)` for every element; `apply` holds the files that define it.
pub(super) fn lower(
    label: &'static str,
    apply: &[Source],
    argument: f32,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let (input, output) = (&step.inputs[0], &step.outputs[0]);
    let lanes = if output.elements() % 4 == 0 { 4 } else { 1 };
    let count = to_u32(label, "elements", output.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let shader = Shader::new(label, [&[wgsl!("elementwise/unary.wgsl")], apply].concat())
        .alias("InPack", input.dtype, lanes)
        .alias("OutPack", output.dtype, lanes)
        .alias("Lanes", crate::DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.element_lanes);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{label} x{lanes}").into(),
            reason: super::binary::WIDTH_REASON[usize::from(lanes == 4)].into(),
        },
        dispatches: vec![Dispatch {
            shader,
            bindings: vec![("x", Operand::Input(0)), ("result", Operand::Output(0))],
            params: UnaryParams { count, workgroups, argument }.into(),
            workgroups: workgroups.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}

/// Cases for any op of one argument that keeps its type: vector and scalar widths, empty values, more than one row of workgroups.
#[cfg(feature = "check")]
pub(super) fn cases_of(
    name: &'static str,
    op: fn(&mut crate::Graph, crate::Value) -> Result<crate::Value>,
) -> Vec<crate::check::Case> {
    let shapes: [&'static [usize]; 8] = [&[], &[0], &[1], &[2, 2], &[63], &[65, 4], &[97, 3], &[1000, 257]];
    let mut cases = Vec::new();
    for dtype in [crate::DType::F32, crate::DType::F16] {
        for shape in shapes {
            cases.push(crate::check::Case::new(
                name,
                format!("{dtype} {}", crate::Shape::from(shape)),
                move |problem| {
                    let x = problem.random("x", dtype, shape, 4.0)?;
                    Ok(vec![op(&mut problem.graph, x)?])
                },
            ));
        }
    }
    cases
}

/// Cases for an activation: those of [`cases_of`], around 0, the far ends, and `turns`, where its formula changes.
#[cfg(feature = "check")]
pub(super) fn activation_cases(
    name: &'static str,
    op: fn(&mut crate::Graph, crate::Value) -> Result<crate::Value>,
    turns: &'static [f32],
) -> Vec<crate::check::Case> {
    let mut cases = cases_of(name, op);
    // Apart, because the largest result of a case sets its scale.
    let places: [(&str, &'static [f32]); 4] = [
        ("around 0", &[-1e-2, -1e-3, -0.0, 0.0, 1e-3, 1e-2]),
        ("where the formula changes", turns),
        ("far out", &[-6e4, -100.0, 100.0, 6e4]),
        ("beyond f16", &[-1e30, -1e10, 1e10, 1e30]),
    ];
    for dtype in [crate::DType::F32, crate::DType::F16] {
        for (place, x) in places {
            if x.is_empty() || (place == "beyond f16" && dtype == crate::DType::F16) {
                continue;
            }
            cases.push(crate::check::Case::new(name, format!("{dtype} {place}"), move |problem| {
                let x = problem.input("x", crate::HostTensor::from_f32(dtype, [x.len()], x)?)?;
                Ok(vec![op(&mut problem.graph, x)?])
            }));
        }
    }
    cases
}
