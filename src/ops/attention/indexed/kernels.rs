//! Lowering: a dispatch for each round, of which the next adds to what the one before has written. Sums are f32: of f16 tensors, several
//! rounds add up in scratch, and a last dispatch rounds what they have found.

use super::backward::{self, IndexedBackward};
use super::walk::{Line, Round, Walk};
use super::{Chunked, INDEX, IndexedAttention, NAME, Parts, Results, is_accumulator};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Choice, Dispatch, Kernel, Lowered, Operand, Tier, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::walk::{self, Tile};
use crate::ops::attention::blocked::{add_splits, log_sum_exps};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct StatisticsParams {
        start: u32,
        query_time: u32,
        kv_heads: u32,
    }
}

/// What the forward pass has in workgroup memory of the rounds before, for each row: maximum and sum.
const EARLIER_BYTES: u32 = 8;

/// Where the sums of an output go: there, or to scratch in f32 that a last dispatch rounds.
struct Sums {
    output: usize,
    operand: Operand,
}

impl Sums {
    /// Results of several rounds are added to; f16 does not hold sums.
    fn of(step: &StepDesc, output: usize, spec: &Chunked, scratch: &mut Vec<u64>) -> Self {
        let desc = &step.outputs[output];
        if is_accumulator(desc.dtype) || spec.results == Results::Slots || spec.rounds == 1 {
            return Self { output, operand: Operand::Output(output) };
        }
        scratch.push((desc.elements() * size_of::<f32>()).max(16) as u64);
        Self { output, operand: Operand::Scratch(scratch.len() - 1) }
    }

    /// The type that it has where it goes.
    fn dtype(&self, step: &StepDesc) -> DType {
        if matches!(self.operand, Operand::Output(_)) { step.outputs[self.output].dtype } else { DType::F32 }
    }

    /// Rounds what lies in scratch.
    fn rounded(&self, step: &StepDesc, caps: &Caps) -> Result<Option<Dispatch>> {
        match self.operand {
            Operand::Output(_) => Ok(None),
            partial => {
                let (desc, result) = (&step.outputs[self.output], Operand::Output(self.output));
                add_splits(partial, desc, result, 1, caps).map(Some)
            }
        }
    }
}

/// A problem of several rounds, and where its index is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem<'a> {
    pub(super) op: &'static str,
    pub(super) spec: &'a Chunked,
    pub(super) rounds: &'a [Round],
    pub(super) line: Line,
    pub(super) index: Operand,
    pub(super) result_time: usize,
    pub(super) dims: Dims,
    pub(super) dtype: DType,
}

/// Where a backward pass finds what the forward pass has made, and the gradients of that.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Attended {
    pub(in crate::ops::attention) out: Operand,
    pub(in crate::ops::attention) statistics: Operand,
    pub(in crate::ops::attention) d_out: Operand,
    pub(in crate::ops::attention) d_lse: Option<Operand>,
}

/// Rows, columns and the tile of a walk, for reports.
type Walked = (&'static str, &'static str, AttentionTile);

impl<'a> Problem<'a> {
    pub(super) fn walk(&self, rows_are_keys: bool, tuning: AttentionTile, caps: &Caps) -> Walk<'a> {
        let slots = |round: &Round| if rows_are_keys { round.key_slots() } else { round.query_slots() };
        let slots = self.rounds.iter().map(slots).max().unwrap_or(1);
        Walk {
            op: self.op,
            spec: self.spec,
            rounds: self.rounds,
            line: self.line,
            result_time: self.result_time,
            dims: self.dims,
            dtype: self.dtype,
            tile: fitted(tuning, slots, 1 + u32::from(rows_are_keys), caps),
            rows_are_keys,
        }
    }

    /// The tiles of the backward pass.
    pub(super) fn backward_tuning(&self, caps: &Caps) -> AttentionTile {
        let tile = caps.tuning.attention;
        AttentionTile {
            key_vectors: tile.backward_key_vectors,
            rows: backward_rows(&self.dims, tile),
            ..tile
        }
    }

    /// The forward pass of a step whose outputs begin with `out`, the log-sum-exp and the statistics of rows; `lse_rounds` is that of each round.
    pub(super) fn forward(
        &self,
        step: &StepDesc,
        lse_rounds: Option<Operand>,
        scratch: &mut Vec<u64>,
        caps: &Caps,
    ) -> Result<(Vec<Dispatch>, Walked)> {
        let walk = self.walk(false, caps.tuning.attention, caps);
        let out = Sums::of(step, 0, self.spec, scratch);
        let statistics = match step.wanted[2] {
            true => Operand::Output(2),
            false => {
                scratch.push(step.outputs[2].buffer_bytes());
                Operand::Scratch(scratch.len() - 1)
            }
        };
        let mut bindings = vec![
            ("query", Operand::Input(0)),
            ("key", Operand::Input(1)),
            ("value", Operand::Input(2)),
            ("out", out.operand),
            ("statistics", statistics),
            ("index", self.index),
        ];
        bindings.extend(lse_rounds.map(|operand| ("lse_rounds", operand)));
        let shader = walk.forward_shader(out.dtype(step), lse_rounds.is_some());
        let mut dispatches = walk.of_rounds(&shader, &bindings)?;
        dispatches.extend(out.rounded(step, caps)?);
        if step.wanted[1] {
            let rows = self.dims.batch * self.dims.heads * self.result_time;
            dispatches.push(log_sum_exps(rows, statistics, Operand::Output(1), caps)?);
        }
        Ok((dispatches, ("queries", "keys", walk.tile)))
    }

    /// The backward pass of a step whose outputs begin with the gradients of query, key and value.
    pub(super) fn backward(
        &self,
        step: &StepDesc,
        attended: &Attended,
        scratch: &mut Vec<u64>,
        caps: &Caps,
    ) -> Result<(Vec<Dispatch>, Vec<Walked>)> {
        let rows = self.dims.batch * self.dims.heads * self.result_time;
        scratch.push((rows.max(1) * 3 * size_of::<f32>()) as u64);
        let row_statistics = Operand::Scratch(scratch.len() - 1);
        let mut dispatches = vec![find_statistics(
            self.op,
            &self.dims,
            (self.result_time, self.dtype),
            attended,
            row_statistics,
            caps,
        )?];
        let results: Vec<Option<Sums>> = (0..3)
            .map(|output| step.wanted[output].then(|| Sums::of(step, output, self.spec, scratch)))
            .collect();
        let shared = [
            ("query", Operand::Input(0)),
            ("key", Operand::Input(1)),
            ("value", Operand::Input(2)),
            ("d_out", attended.d_out),
            ("index", self.index),
            ("row_statistics", row_statistics),
        ];
        let names = ["dq", "dk", "dv"];
        let mut walked = Vec::new();
        for (rows_are_keys, own) in [(false, 0..1), (true, 1..3)] {
            let wanted: Vec<(&'static str, &Sums)> = own
                .filter_map(|output| results[output].as_ref().map(|result| (names[output], result)))
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let walk = self.walk(rows_are_keys, self.backward_tuning(caps), caps);
            let types: Vec<(&'static str, DType)> =
                wanted.iter().map(|(name, result)| (*name, result.dtype(step))).collect();
            let shader = walk.backward_shader(&types);
            let results = wanted.iter().map(|(name, result)| (*name, result.operand));
            let bindings: Vec<_> = shared.into_iter().chain(results).collect();
            dispatches.extend(walk.of_rounds(&shader, &bindings)?);
            let [rows, columns] = if rows_are_keys { ["keys", "queries"] } else { ["queries", "keys"] };
            walked.push((rows, columns, walk.tile));
        }
        for result in results.iter().flatten() {
            dispatches.extend(result.rounded(step, caps)?);
        }
        Ok((dispatches, walked))
    }
}

/// The rounds of an order with the extents of `spec`, all alike.
fn rounds_of(spec: &Chunked, parts: &Parts) -> Vec<Round> {
    let round = |number| Round {
        number,
        of: spec.rounds,
        queries_from: 0,
        keys_from: parts.keys,
        query_chunk: spec.query_chunk,
        key_chunk: spec.key_chunk,
        chunks: spec.chunks,
        group: spec.chunks,
        before: spec.before as i64,
        after: spec.after as i64,
        band: None,
    };
    (0..spec.rounds).map(round).collect()
}

/// A step's problem, once its rounds are listed.
fn problem<'a>(
    op: &'static str,
    attention: &'a IndexedAttention,
    parts: &Parts,
    rounds: &'a [Round],
    step: &StepDesc,
) -> Problem<'a> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    Problem {
        op,
        spec: &attention.spec,
        rounds,
        line: Line { length: parts.line, buckets_from: parts.buckets, chunks_from: parts.chunks },
        index: Operand::Input(INDEX),
        result_time: attention.spec.result_time(&dims),
        dims,
        dtype: step.inputs[0].dtype,
    }
}

pub(super) fn lower(op: &IndexedAttention, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let parts = op.parts(&step.inputs);
    let rounds = rounds_of(&op.spec, &parts);
    let mut scratch = Vec::new();
    let lse_rounds = step.wanted[3].then_some(Operand::Output(3));
    let problem = problem(NAME, op, &parts, &rounds, step);
    let (dispatches, walked) = problem.forward(step, lse_rounds, &mut scratch, caps)?;
    Ok(Lowered::Kernels { choice: choice(caps, "", "index maps", &[walked]), dispatches, scratch })
}

pub(super) fn lower_backward(op: &IndexedBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let parts = op.forward.parts(&step.inputs);
    let rounds = rounds_of(&op.forward.spec, &parts);
    let attended = Attended {
        out: Operand::Input(4),
        statistics: Operand::Input(5),
        d_out: Operand::Input(6),
        d_lse: op.d_lse.then_some(Operand::Input(backward::REQUIRED)),
    };
    let mut scratch = Vec::new();
    let problem = problem(backward::NAME, &op.forward, &parts, &rounds, step);
    let (dispatches, walked) = problem.backward(step, &attended, &mut scratch, caps)?;
    Ok(Lowered::Kernels { choice: choice(caps, "backward ", "index maps", &walked), dispatches, scratch })
}

/// The tile for so many slots of a round, with `arrays` numbers of each pair in workgroup memory.
fn fitted(tile: AttentionTile, slots: usize, arrays: u32, caps: &Caps) -> AttentionTile {
    walk::within(walk::fitted(tile, slots), caps.max_workgroup_bytes, |tile| {
        arrays * walk::pair_bytes(tile)
            + walk::WORD_BYTES
            + 16 * tile.lanes * tile.row_groups * tile.rows.div_ceil(4)
            + EARLIER_BYTES * tile.rows * tile.row_groups
    })
}

/// Rows of a lane, fewer where channels are many, as in the backward passes of blocked attention.
fn backward_rows(dims: &Dims, tile: AttentionTile) -> u32 {
    let packs = walk::lane_packs(dims.head_size, tile) + walk::lane_packs(dims.value_size, tile);
    (walk::MOST_PACKS / packs.max(1)).clamp(1, tile.rows)
}

pub(super) fn choice(caps: &Caps, pass: &str, along: &str, tiles: &[Walked]) -> Choice {
    let tiles: Vec<String> = tiles
        .iter()
        .map(|&(rows, columns, tile)| {
            let tile = Tile::Registers(tile);
            format!("{} {rows} x {} {columns}", tile.rows(), tile.columns())
        })
        .collect();
    Choice {
        tier: Tier::RegisterTile,
        kernel: format!("{pass}{}, along {along}", tiles.join(", ")).into(),
        reason: format!("{}: rows are read where they lie", caps.adapter.name()).into(),
    }
}

/// Finds what the passes know of each row of the output.
pub(in crate::ops::attention) fn find_statistics(
    op: &'static str,
    dims: &Dims,
    (time, dtype): (usize, DType),
    attended: &Attended,
    found: Operand,
    caps: &Caps,
) -> Result<Dispatch> {
    let lanes = walk::pack_lanes(dims.value_size);
    let sources = [wgsl!("attention/blocked/backward/statistics.wgsl"), wgsl!("attention/softmax.wgsl")];
    let kernel = Kernel::new("attention/indexed_backward/statistics", sources)
        .read_if("d_lse", attended.d_lse, DType::F32)
        .lanes(lanes)
        .read("out", attended.out, dtype)
        .read("d_out", attended.d_out, dtype)
        .read_elements("statistics", attended.statistics, DType::F32)
        .write_elements("aux_buffer", found, DType::U32)
        .constant("GROUP", 1)
        .constant("PACK", lanes)
        .constant("ROW_PACKS", dims.value_size as u32 / lanes)
        .turns(dims.value_size as u64 * 3)
        .params(StatisticsParams {
            start: 0,
            query_time: to_u32(op, "out", time)?,
            kv_heads: to_u32(op, "heads", dims.heads)?,
        });
    let kernel = walk::score_constants()
        .into_iter()
        .fold(kernel, |kernel, (name, value)| kernel.constant(name, value));
    Ok(kernel.per_element(to_u32(op, "rows", dims.batch * dims.heads * time)?, caps))
}
