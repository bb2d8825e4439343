//! Lowering: the tokens are sorted by id; each row's are found by binary search; sorted tokens are summed in chunks where a chunk is
//! of one row only; and every row adds its tokens, or its chunks and what lies around them. No invocation adds more than about three
//! times the square root of the number of tokens.

use super::NAME;
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::rows::{Rows, chunk_length};
use crate::ops::sort::{self, sort};
use crate::tensor::DType;

params! {
    struct StartParams {
        tokens: u32,
        rows: u32,
        workgroups: u32,
    }
}

params! {
    /// `width` is in packs.
    struct ChunkParams {
        chunks: u32,
        rows: u32,
        width: u32,
        workgroups: u32,
    }
}

params! {
    /// `width` is in packs.
    struct RowParams {
        rows: u32,
        width: u32,
        workgroups: u32,
    }
}

/// Scratch: where each row's tokens start, the sums of chunks, and what the sort takes.
const STARTS: Operand = Operand::Scratch(0);
const SUMS: Operand = Operand::Scratch(1);
const FIRST_OF_SORT: usize = 2;

/// What the dispatches after the sort share.
struct Lookup<'c> {
    rows: u32,
    /// Tokens and the width of their rows.
    upstream: Rows,
    chunk: u32,
    sorted: Operand,
    caps: &'c Caps,
}

pub(super) fn lower(rows: usize, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (ids, upstream) = (&step.inputs[0], Rows::of(NAME, &step.inputs[1])?);
    let tokens = to_u32(NAME, "tokens", ids.elements())?;
    // Ids are compared as u32, where negative ones must lie beyond every table.
    let most_rows = if ids.dtype == DType::I32 { 1 << 31 } else { u32::MAX };
    let rows = to_u32(NAME, "rows", rows)?;
    let sorted = sort(NAME, Operand::Input(0), (tokens, rows.min(most_rows)), FIRST_OF_SORT, caps);
    let mut dispatches = sorted.dispatches;
    let lookup = Lookup { rows, upstream, chunk: chunk_length(tokens), sorted: sorted.sorted, caps };
    let whole_chunks = tokens / lookup.chunk;
    dispatches.extend([lookup.starts(tokens), lookup.chunks(whole_chunks)?, lookup.rows(step)?]);
    let sums = u64::from(whole_chunks) * u64::from(upstream.width * upstream.lanes) * 4;
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{NAME} x{}, chunks of {} sorted tokens", upstream.lanes, lookup.chunk).into(),
            reason: format!("{tokens} tokens, an invocation a pack of the table").into(),
        },
        dispatches,
        scratch: [(u64::from(rows) + 1) * 4, sums.max(16)].into_iter().chain(sort::scratch(tokens)).collect(),
    })
}

impl Lookup<'_> {
    fn shader(&self, source: Source) -> Shader {
        self.upstream.plain_shader(NAME, &[source], self.caps)
    }

    fn workgroups(&self, invocations: u32) -> u32 {
        invocations.div_ceil(self.caps.tuning.row_lanes)
    }

    fn starts(&self, tokens: u32) -> Dispatch {
        let workgroups = self.workgroups(self.rows.saturating_add(1));
        let shader = Shader::new(NAME, [wgsl!("embedding_backward/starts.wgsl")]);
        Dispatch {
            shader: shader.constant("WORKGROUP", self.caps.tuning.row_lanes),
            bindings: vec![("sorted", self.sorted), ("starts", STARTS)],
            params: StartParams { tokens, rows: self.rows, workgroups }.into(),
            workgroups: workgroups.into(),
            turns: 0,
        }
    }

    fn chunks(&self, chunks: u32) -> Result<Dispatch> {
        let width = self.upstream.width;
        let workgroups = self.workgroups(to_u32(NAME, "chunks", chunks as usize * width as usize)?);
        Ok(Dispatch {
            shader: self.shader(wgsl!("embedding_backward/chunks.wgsl")).constant("CHUNK", self.chunk),
            bindings: vec![("sorted", self.sorted), ("upstream", Operand::Input(1)), ("sums", SUMS)],
            params: ChunkParams { chunks, rows: self.rows, width, workgroups }.into(),
            workgroups: workgroups.into(),
            turns: 0,
        })
    }

    fn rows(&self, step: &StepDesc) -> Result<Dispatch> {
        let elements = to_u32(NAME, "elements", step.outputs[0].elements())?;
        let workgroups = self.workgroups(elements / self.upstream.lanes);
        Ok(Dispatch {
            shader: self.shader(wgsl!("embedding_backward/rows.wgsl")).constant("CHUNK", self.chunk),
            bindings: vec![
                ("sorted", self.sorted),
                ("starts", STARTS),
                ("upstream", Operand::Input(1)),
                ("sums", SUMS),
                ("d_table", Operand::Output(0)),
            ],
            params: RowParams { rows: self.rows, width: self.upstream.width, workgroups }.into(),
            workgroups: workgroups.into(),
            turns: 0,
        })
    }
}
