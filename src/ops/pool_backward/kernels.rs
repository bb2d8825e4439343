//! Lowering: an invocation for each pack of dx looks up the row of its position. Of packed sequences the positions of each row are
//! searched for first; of the largest, an invocation for each pack of upstream first finds where it is, along time.

use super::{Kind, NAME, PoolBackward};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::pool::Positions;
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

params! {
    struct RunParams {
        time: u32,
        segments: u32,
        count: u32,
        workgroups: u32,
    }
}

/// Where the positions of a row, or those of its largest elements, are kept between dispatches.
const KEPT: Operand = Operand::Scratch(0);

struct Extents {
    dtype: DType,
    lanes: u32,
    time: u32,
    width: u32,
    segments: u32,
    /// Rows of upstream.
    rows: u32,
}

pub(super) fn lower(op: &PoolBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = op.x.shape.dims();
    let lanes: u32 = if dims[2].is_multiple_of(4) { 4 } else { 1 };
    let segments = op.spec.segments.map_or(1, |(_, count)| count);
    let extents = Extents {
        dtype: op.x.dtype,
        lanes,
        time: to_u32(NAME, "time", dims[1])?,
        width: to_u32(NAME, "width", dims[2])? / lanes,
        segments: to_u32(NAME, "count", segments)?,
        rows: to_u32(NAME, "rows", dims[0].saturating_mul(segments))?,
    };
    let positions = Positions::of(&op.spec);
    let is_max = op.spec.kind == Kind::Max;
    let count = to_u32(NAME, "elements", step.outputs[0].elements())? / lanes;
    let mut dispatches = Vec::new();
    // Nothing is looked for on behalf of no positions.
    if is_max && count > 0 {
        dispatches.push(extents.choose(&positions, step.inputs.len() - 1, caps));
    } else if op.spec.segments.is_some() && count > 0 {
        dispatches.push(extents.runs(&positions, caps));
    }
    dispatches.push(extents.shares(op, &positions, count, caps));
    let places = u64::from(extents.rows) * u64::from(extents.width) * u64::from(lanes) * 4;
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{lanes}, {:?}", op.spec.kind).into(),
            reason: "one invocation a pack of the gradient".into(),
        },
        dispatches,
        scratch: vec![if is_max { places } else { u64::from(extents.rows) * 8 }.max(16)],
    })
}

impl Extents {
    fn shader(&self, sources: Vec<Source>, caps: &Caps) -> Shader {
        Shader::new(NAME, sources)
            .alias("Pack", self.dtype, self.lanes)
            .alias("Lanes", DType::F32, self.lanes)
            .alias("Places", DType::U32, self.lanes)
            .constant("WORKGROUP", caps.tuning.row_lanes)
    }

    fn params(&self, count: u32, workgroups: u32) -> PoolParams {
        let Self { time, width, segments, .. } = *self;
        PoolParams { time, width, segments, count, workgroups }
    }

    /// Finds where each of the largest is, in x, which is input number `x`.
    fn choose(&self, positions: &Positions, x: usize, caps: &Caps) -> Dispatch {
        let count = self.rows * self.width;
        let workgroups = count.div_ceil(caps.tuning.row_lanes);
        let mut bindings = vec![("x", Operand::Input(x)), ("chosen", KEPT)];
        bindings.extend(positions.name.map(|name| (name, Operand::Input(1))));
        Dispatch {
            shader: self.shader(vec![wgsl!("pool_backward/choose.wgsl"), positions.source], caps),
            bindings,
            params: self.params(count, workgroups).into(),
            workgroups: workgroups.into(),
            turns: 0,
        }
    }

    /// Finds the positions of each row.
    fn runs(&self, positions: &Positions, caps: &Caps) -> Dispatch {
        let workgroups = self.rows.div_ceil(caps.tuning.row_lanes);
        let shader = Shader::new(NAME, [wgsl!("pool_backward/runs.wgsl"), positions.source]);
        let mut bindings: Vec<_> = positions.name.map(|name| (name, Operand::Input(1))).into_iter().collect();
        bindings.push(("runs", KEPT));
        Dispatch {
            shader: shader.constant("WORKGROUP", caps.tuning.row_lanes),
            bindings,
            params: RunParams { time: self.time, segments: self.segments, count: self.rows, workgroups }
                .into(),
            workgroups: workgroups.into(),
            turns: 0,
        }
    }

    fn shares(&self, op: &PoolBackward, positions: &Positions, count: u32, caps: &Caps) -> Dispatch {
        let segments = op.spec.segments.is_some();
        let mut sources = vec![wgsl!("pool_backward/pool_backward.wgsl")];
        let mut bindings = vec![("upstream", Operand::Input(0)), ("dx", Operand::Output(0))];
        let share = match op.spec.kind {
            Kind::Mean => wgsl!("pool_backward/mean.wgsl"),
            Kind::First => wgsl!("pool_backward/first.wgsl"),
            Kind::Max => wgsl!("pool_backward/max.wgsl"),
        };
        sources.push(share);
        let kept = match (op.spec.kind, segments) {
            (Kind::Max, _) => Some("chosen"),
            (_, true) => {
                sources.push(wgsl!("pool_backward/run_kept.wgsl"));
                Some("runs")
            }
            (_, false) => {
                sources.extend([wgsl!("pool_backward/run_of_item.wgsl"), positions.source]);
                bindings.extend(positions.name.map(|name| (name, Operand::Input(1))));
                None
            }
        };
        if segments {
            sources.push(wgsl!("pool_backward/segment_ids.wgsl"));
            bindings.push(("own_ids", Operand::Input(1)));
        } else {
            sources.push(wgsl!("pool_backward/segment_one.wgsl"));
        }
        bindings.extend(kept.map(|name| (name, KEPT)));
        let workgroups = count.div_ceil(caps.tuning.row_lanes);
        Dispatch {
            shader: self.shader(sources, caps),
            bindings,
            params: self.params(count, workgroups).into(),
            workgroups: workgroups.into(),
            turns: 0,
        }
    }
}
