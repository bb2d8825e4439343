//! Lowering: one workgroup per row, which it reads three times (maximum, sum, result) so that a row of any width needs no
//! memory of its own. [`log_softmax`](super::super::log_softmax()) differs in the last formula only.

use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Source, Tier, wgsl};
use crate::ops::rows::{Rows, reason};

/// The kernel of `op`; `outcome` says how a result follows from an element and its row's maximum and sum.
pub(in crate::ops) fn lower(
    op: &'static str,
    outcome: Source,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let rows = Rows::of(op, &step.inputs[0])?;
    let sources = [wgsl!("lib/softmax_rows.wgsl"), outcome, wgsl!("lib/weight.wgsl")];
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{op} x{}, a workgroup a row", rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![Dispatch {
            shader: rows.shader(op, &sources, caps),
            bindings: vec![("x", Operand::Input(0)), ("result", Operand::Output(0))],
            params: rows.params(),
            workgroups: rows.rows.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}
