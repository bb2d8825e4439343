//! Lowering: one workgroup counts the targets, then there is one for each row.

use super::NAME;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Tier, params, wgsl};
use crate::ops::loss::cross_entropy::CrossEntropy;
use crate::ops::loss::total::{Divisor, total};
use crate::ops::rows::{Rows, reason};

params! {
    /// `width` is in packs.
    struct BackwardParams {
        rows: u32,
        width: u32,
        classes: u32,
        smoothing: f32,
    }
}

pub(super) fn lower(spec: &CrossEntropy, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let rows = Rows::of(NAME, &step.inputs[0])?;
    let classes = rows.width * rows.lanes;
    let one_hot = if rows.lanes == 4 {
        wgsl!("loss/cross_entropy_backward/one_hot_vec4.wgsl")
    } else {
        wgsl!("loss/cross_entropy_backward/one_hot_scalar.wgsl")
    };
    let has_lse_upstream = step.inputs.len() > 4;
    let of_lse = if has_lse_upstream {
        wgsl!("loss/cross_entropy_backward/lse_upstream_buffer.wgsl")
    } else {
        wgsl!("loss/cross_entropy_backward/lse_upstream_none.wgsl")
    };
    let sources = [
        wgsl!("loss/cross_entropy_backward/cross_entropy_backward.wgsl"),
        one_hot,
        of_lse,
        wgsl!("lib/weight.wgsl"),
    ];
    let counted = Divisor::Targets { targets: Operand::Input(1), rows: rows.rows, classes };
    let factor = Operand::Scratch(0);
    let mut bindings = vec![
        ("logits", Operand::Input(0)),
        ("targets", Operand::Input(1)),
        ("lse", Operand::Input(2)),
        ("factor", factor),
        ("d_logits", Operand::Output(0)),
    ];
    bindings.extend(has_lse_upstream.then_some(("lse_upstream", Operand::Input(4))));
    let d_logits = Dispatch {
        shader: rows.shader(NAME, &sources, caps).constant("LANES", rows.lanes),
        bindings,
        params: BackwardParams { rows: rows.rows, width: rows.width, classes, smoothing: spec.smoothing() }
            .into(),
        workgroups: rows.rows.into(),
        turns: 0,
    };
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{}, a workgroup a row", rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![total(NAME, (Operand::Input(3), 1), counted, factor, caps), d_logits],
        scratch: vec![4],
    })
}
