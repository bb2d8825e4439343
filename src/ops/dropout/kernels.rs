//! Lowering: one invocation a pack. Where the elements are no whole vectors, each invocation uses one of the four numbers it makes.

use super::{Dropout, NAME};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    /// `count` is in packs.
    struct DropoutParams {
        count: u32,
        workgroups: u32,
        key_low: u32,
        key_high: u32,
        stream: u32,
        threshold: u32,
        scale: f32,
    }
}

pub(super) fn lower(spec: &Dropout, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    if spec.rate == 0.0 {
        return Ok(Lowered::View(0));
    }
    let x = &step.inputs[0];
    let vectors = x.elements().is_multiple_of(4);
    let (lanes, kept) =
        if vectors { (4, wgsl!("dropout/kept_vec4.wgsl")) } else { (1, wgsl!("dropout/kept_scalar.wgsl")) };
    let count = to_u32(NAME, "elements", x.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let shader = Shader::new(NAME, [wgsl!("dropout/dropout.wgsl"), kept, wgsl!("lib/philox.wgsl")])
        .alias("Pack", x.dtype, lanes)
        .alias("Lanes", DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.element_lanes);
    let [key_low, key_high] = spec.key();
    let params = DropoutParams {
        count,
        workgroups,
        key_low,
        key_high,
        stream: spec.stream,
        threshold: spec.threshold(),
        scale: spec.scale() as f32,
    };
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{lanes}").into(),
            reason: if vectors {
                "four elements at a time"
            } else {
                "one element at a time: rows are not whole vectors"
            }
            .into(),
        },
        dispatches: vec![Dispatch {
            shader,
            bindings: vec![
                ("x", Operand::Input(0)),
                ("step", Operand::Input(1)),
                ("result", Operand::Output(0)),
            ],
            params: params.into(),
            workgroups: workgroups.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}
