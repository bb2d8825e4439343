//! Lowering: one workgroup per row, which it reads three times (largest magnitude, sum of squares, result).

use super::NAME;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Tier, params, wgsl};
use crate::ops::rows::{Rows, reason};

params! {
    /// `width` is in packs.
    struct L2Params {
        rows: u32,
        width: u32,
        eps: f32,
    }
}

pub(super) fn lower(eps: f32, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let rows = Rows::of(NAME, &step.inputs[0])?;
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{}, a workgroup a row", rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![Dispatch {
            shader: rows.shader(NAME, &[wgsl!("normalize/l2_normalize/l2_normalize.wgsl")], caps),
            bindings: vec![("x", Operand::Input(0)), ("result", Operand::Output(0))],
            params: L2Params { rows: rows.rows, width: rows.width, eps }.into(),
            workgroups: rows.rows.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}
