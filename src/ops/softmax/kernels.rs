//! Lowering: one workgroup per row, which it reads three times (maximum, sum, result) so that a row of any width needs no
//! memory of its own.

use super::NAME;
use crate::Result;
use crate::graph::Problem;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    /// `width` is in packs.
    struct SoftmaxParams {
        rows: u32,
        width: u32,
    }
}

pub(super) fn lower(problem: &Problem, caps: &Caps) -> Result<Lowered> {
    let x = &problem.inputs[0];
    let width = x.shape.dims()[x.shape.rank() - 1];
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let rows = to_u32(NAME, "rows", x.elements().checked_div(width).unwrap_or(0))?;
    let shader = Shader::new(NAME, [wgsl!("softmax/softmax.wgsl"), pack_source(lanes)])
        .alias("Pack", x.dtype, lanes)
        .alias("Lanes", DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.streaming_lanes);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{lanes}, a workgroup a row").into(),
            reason: format!("{}: workgroups of {}", caps.adapter.name(), caps.tuning.streaming_lanes).into(),
        },
        dispatches: vec![Dispatch {
            shader,
            bindings: vec![("x", Operand::Input(0)), ("result", Operand::Output(0))],
            params: SoftmaxParams { rows, width: to_u32(NAME, "width", width)? / lanes }.into(),
            workgroups: rows.into(),
        }],
        scratch: Vec::new(),
    })
}

fn pack_source(lanes: u32) -> crate::kernel::Source {
    if lanes == 4 { wgsl!("lib/lanes_vec4.wgsl") } else { wgsl!("lib/lanes_scalar.wgsl") }
}
