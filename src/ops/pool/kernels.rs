//! Lowering: one invocation for each pack of the result, which walks along time.

use super::{Kind, NAME, Pool};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    /// `width` and `count` are in packs.
    struct PoolParams {
        time: u32,
        width: u32,
        segments: u32,
        count: u32,
        workgroups: u32,
    }
}

/// The file that says which positions a row pools, and what it binds the step's second input to.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Positions {
    pub(in crate::ops) source: Source,
    pub(in crate::ops) name: Option<&'static str>,
}

impl Positions {
    pub(in crate::ops) fn of(spec: &Pool) -> Self {
        let (source, name) = match (spec.lengths, spec.segments) {
            (Some(_), _) => (wgsl!("pool/positions_lengths.wgsl"), Some("lengths")),
            (None, Some(_)) => (wgsl!("pool/positions_segments.wgsl"), Some("ids")),
            (None, None) => (wgsl!("pool/positions_all.wgsl"), None),
        };
        Self { source, name }
    }
}

pub(super) fn lower(spec: &Pool, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, result) = (&step.inputs[0], &step.outputs[0]);
    let [time, width] = [1, 2].map(|axis| x.shape.dims()[axis]);
    let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", result.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.row_lanes);
    let positions = Positions::of(spec);
    let kind = match spec.kind {
        Kind::Mean => wgsl!("pool/mean.wgsl"),
        Kind::Max => wgsl!("pool/max.wgsl"),
        Kind::First => wgsl!("pool/first.wgsl"),
    };
    let shader = Shader::new(NAME, [wgsl!("pool/pool.wgsl"), positions.source, kind])
        .alias("Pack", x.dtype, lanes)
        .alias("Lanes", DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.row_lanes);
    let mut bindings = vec![("x", Operand::Input(0)), ("result", Operand::Output(0))];
    bindings.extend(positions.name.map(|name| (name, Operand::Input(1))));
    let segments = spec.segments.map_or(1, |(_, count)| count);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{lanes}, {:?}", spec.kind).into(),
            reason: "one invocation a pack of the result, along time".into(),
        },
        dispatches: vec![Dispatch {
            shader,
            bindings,
            params: PoolParams {
                time: to_u32(NAME, "time", time)?,
                width: to_u32(NAME, "width", width)? / lanes,
                segments: to_u32(NAME, "count", segments)?,
                count,
                workgroups,
            }
            .into(),
            workgroups: workgroups.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}
