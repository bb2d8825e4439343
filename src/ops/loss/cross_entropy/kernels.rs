//! Lowering: a workgroup for each row, which writes its loss to scratch, and one that adds them.

use super::{CrossEntropy, NAME};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Tier, params, wgsl};
use crate::ops::loss::total::{Divisor, total};
use crate::ops::rows::{Rows, reason};

params! {
    /// `width` is in packs.
    struct CrossEntropyParams {
        rows: u32,
        width: u32,
        classes: u32,
        smoothing: f32,
    }
}

pub(super) fn lower(spec: &CrossEntropy, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let rows = Rows::of(NAME, &step.inputs[0])?;
    let mut dispatches = vec![row_losses(spec, &rows, step.wanted[1], caps)];
    if step.wanted[0] {
        let classes = rows.width * rows.lanes;
        let counted = Divisor::Targets { targets: Operand::Input(1), rows: rows.rows, classes };
        dispatches.push(total(NAME, (Operand::Scratch(0), rows.rows), counted, Operand::Output(0), caps));
    }
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{}, a workgroup a row, read once", rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches,
        scratch: vec![u64::from(rows.rows.max(1)) * 4],
    })
}

fn row_losses(spec: &CrossEntropy, rows: &Rows, keeps_lse: bool, caps: &Caps) -> Dispatch {
    let lse = if keeps_lse {
        wgsl!("loss/cross_entropy/lse_buffer.wgsl")
    } else {
        wgsl!("loss/cross_entropy/lse_none.wgsl")
    };
    let sources = [wgsl!("loss/cross_entropy/cross_entropy.wgsl"), lse, wgsl!("lib/weight.wgsl")];
    let mut bindings = vec![
        ("logits", Operand::Input(0)),
        ("targets", Operand::Input(1)),
        ("row_losses", Operand::Scratch(0)),
    ];
    if keeps_lse {
        bindings.push(("lse", Operand::Output(1)));
    }
    Dispatch {
        shader: rows
            .shader(NAME, &sources, caps)
            .constant("LANES", rows.lanes)
            .constant("SMOOTHS", spec.label_smoothing > 0.0),
        bindings,
        params: CrossEntropyParams {
            rows: rows.rows,
            width: rows.width,
            classes: rows.width * rows.lanes,
            smoothing: spec.label_smoothing,
        }
        .into(),
        workgroups: rows.rows.into(),
        turns: 0,
    }
}
