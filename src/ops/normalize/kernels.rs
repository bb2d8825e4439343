//! Lowering of [`layer_norm`](super::layer_norm()) and [`rms_norm`](super::rms_norm()): one workgroup per row, held in
//! registers where it fits and else read three times.

use super::Norm;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Source, Tier, params, wgsl};
use crate::ops::rows::{Rows, reason};

/// Packs that one lane holds at most.
const MOST_HELD: u32 = 16;

params! {
    /// `width` is in packs.
    struct NormParams {
        rows: u32,
        width: u32,
        elements: u32,
        eps: f32,
    }
}

/// The kernel of `norm`; `centre` says what deviations are taken from.
pub(super) fn lower(norm: &Norm, centre: Source, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let rows = Rows::of(norm.op, &step.inputs[0])?;
    let packs = rows.width.div_ceil(caps.tuning.row_lanes).max(1);
    let held = packs <= MOST_HELD;
    let keeps_sum = step.wanted.get(1) == Some(&true);
    let sources = sources(norm, centre, held, keeps_sum);
    let shader = rows.shader(norm.op, &sources, caps);
    let how = if held { "held in registers" } else { "read three times" };
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{} x{}, a workgroup a row, {how}", norm.op, rows.lanes).into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![Dispatch {
            shader: if held { shader.constant("PACKS", packs) } else { shader },
            bindings: bindings(norm, keeps_sum),
            params: NormParams {
                rows: rows.rows,
                width: rows.width,
                elements: rows.width * rows.lanes,
                eps: norm.eps,
            }
            .into(),
            workgroups: rows.rows.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}

fn sources(norm: &Norm, centre: Source, held: bool, keeps_sum: bool) -> [Source; 6] {
    [
        if held { wgsl!("normalize/held.wgsl.j2") } else { wgsl!("normalize/streamed.wgsl") },
        wgsl!("normalize/interface.wgsl"),
        centre,
        if norm.residual {
            wgsl!("normalize/residual_buffer.wgsl")
        } else {
            wgsl!("normalize/residual_none.wgsl")
        },
        if norm.bias { wgsl!("normalize/bias_buffer.wgsl") } else { wgsl!("normalize/bias_none.wgsl") },
        if keeps_sum { wgsl!("normalize/sum_buffer.wgsl") } else { wgsl!("normalize/sum_none.wgsl") },
    ]
}

fn bindings(norm: &Norm, keeps_sum: bool) -> Vec<(&'static str, Operand)> {
    let mut bindings =
        vec![("x", Operand::Input(0)), ("scale", Operand::Input(1)), ("result", Operand::Output(0))];
    if norm.residual {
        bindings.push(("residual", Operand::Input(2 + usize::from(norm.bias))));
    }
    if norm.bias {
        bindings.push(("bias", Operand::Input(2)));
    }
    if keeps_sum {
        bindings.push(("sum", Operand::Output(1)));
    }
    bindings
}
