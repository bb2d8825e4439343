//! Lowering: a dispatch for each gradient leaves partial sums of squares behind those of the gradients before it, and one workgroup
//! adds them all in order.

use super::{EPSILON, GlobalNorm, NAME};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::{DType, TensorDesc};

/// Packs that an invocation adds up.
const SHARE: u32 = 64;

params! {
    /// `count` in packs.
    struct SquaresParams {
        count: u32,
        workgroups: u32,
        first_partial: u32,
    }
}

params! {
    struct FactorParams {
        partials: u32,
        max_norm: f32,
        epsilon: f32,
    }
}

pub(super) fn lower(op: &GlobalNorm, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let mut partials = 0;
    let mut dispatches = Vec::with_capacity(step.inputs.len());
    for (i, gradient) in step.inputs.iter().enumerate().skip(1) {
        let dispatch = squares(i, gradient, partials, caps)?;
        partials += dispatch.workgroups * u64::from(caps.tuning.row_lanes);
        dispatches.push(dispatch);
    }
    let params = FactorParams {
        partials: to_u32(NAME, "partial sums", partials as usize)?,
        max_norm: op.max_norm.unwrap_or(f32::MAX),
        epsilon: EPSILON,
    };
    dispatches.push(Dispatch {
        shader: Shader::new("optimizer/global_norm/factor", [wgsl!("optimizer/global_norm/factor.wgsl")])
            .constant("CLIPS", op.max_norm.is_some())
            .constant("WORKGROUP", caps.tuning.row_lanes),
        bindings: vec![
            ("partials", Operand::Scratch(0)),
            ("scale", Operand::Input(0)),
            ("norm", Operand::Output(0)),
            ("factor", Operand::Output(1)),
        ],
        params: params.into(),
        workgroups: 1,
        turns: 0,
    });
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: "squares, then one workgroup".into(),
            reason: "partial sums are added in an order of their own".into(),
        },
        dispatches,
        // A binding is never empty.
        scratch: vec![partials.max(1) * size_of::<f32>() as u64],
    })
}

/// The partial sums of gradient number `input`.
fn squares(input: usize, gradient: &TensorDesc, first_partial: u64, caps: &Caps) -> Result<Dispatch> {
    let lanes = if gradient.elements().is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", gradient.elements())? / lanes;
    let workgroups = count.div_ceil(SHARE * caps.tuning.row_lanes);
    let first_partial = to_u32(NAME, "partial sums", first_partial as usize)?;
    let widths = if lanes == 4 { wgsl!("lib/lanes_vec4.wgsl") } else { wgsl!("lib/lanes_scalar.wgsl") };
    Ok(Dispatch {
        shader: Shader::new(
            "optimizer/global_norm/squares",
            [wgsl!("optimizer/global_norm/squares.wgsl"), widths],
        )
        .alias("Lanes", DType::F32, lanes)
        .constant("SHARE", SHARE)
        .constant("WORKGROUP", caps.tuning.row_lanes),
        bindings: vec![("gradient", Operand::Input(input)), ("partials", Operand::Scratch(0))],
        params: SquaresParams { count, workgroups, first_partial }.into(),
        workgroups: workgroups.into(),
        turns: 0,
    })
}
