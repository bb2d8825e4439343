//! Lowering: one workgroup per row, which it reads twice (sum, result) so that a row of any width needs no memory of its own.
//! [`log_softmax_backward`](super::super::log_softmax_backward()) differs in the two formulas only.

use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Source, Tier, wgsl};
use crate::ops::rows::{Rows, reason};

/// The kernel of `op`; `formulas` says what is summed along a row and how a result follows from the sum.
pub(in crate::ops) fn lower(
    op: &'static str,
    formulas: Source,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let rows = Rows::of(op, &step.inputs[0])?;
    let sources = [wgsl!("lib/softmax_backward_rows.wgsl"), formulas];
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{op} x{}, a workgroup a row", rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![Dispatch {
            shader: rows.shader(op, &sources, caps),
            bindings: vec![
                ("y", Operand::Input(0)),
                ("upstream", Operand::Input(1)),
                ("result", Operand::Output(0)),
            ],
            params: rows.params(),
            workgroups: rows.rows.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}
