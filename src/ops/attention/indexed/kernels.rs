//! Lowering: a dispatch for each round, of which the next adds to what the one before has written. Sums are f32: of f16 tensors, several
//! rounds add up in scratch, and a last dispatch rounds what they have found.

use super::backward::{self, IndexedBackward};
use super::statistics::find_statistics;
use super::sums::Sums;
use super::tiles;
use super::walk::{Line, Round, Walk};
use super::{Chunked, INDEX, IndexedAttention, NAME, Parts};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Choice, Dispatch, Lowered, Operand, Tier};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::walk::Tile;
use crate::ops::attention::blocked::{Attended, log_sum_exps, rows};
use crate::tensor::DType;

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
    /// Of the forward pass.
    pub(super) tile: AttentionTile,
}

/// Rows, columns and the tile of a walk, for reports.
type Walked = (&'static str, &'static str, AttentionTile);

impl<'a> Problem<'a> {
    pub(super) fn walk(&self, rows_are_keys: bool, tile: AttentionTile, caps: &Caps) -> Walk<'a> {
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
            tile: tiles::fitted(tile, slots, 1 + u32::from(rows_are_keys), caps),
            rows_are_keys,
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
        let walk = self.walk(false, self.tile, caps);
        let out = Sums::of(step, 0, self.spec, scratch);
        let statistics = rows::statistics_of(step, scratch);
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
        attended: &Attended<Operand>,
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
            let walk = self.walk(rows_are_keys, tiles::backward(&self.dims, self.tile), caps);
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
    (step, caps): (&StepDesc, &Caps),
) -> Problem<'a> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    let spec = &attention.spec;
    let slots = spec.query_slots().max(spec.key_slots());
    Problem {
        op,
        spec,
        rounds,
        line: Line { length: parts.line, buckets_from: parts.buckets, chunks_from: parts.chunks },
        index: Operand::Input(INDEX),
        result_time: spec.result_time(&dims),
        tile: tiles::forward(&dims, slots, spec.query_chunk.min(spec.key_chunk), caps),
        dims,
        dtype: step.inputs[0].dtype,
    }
}

pub(super) fn lower(op: &IndexedAttention, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let parts = op.parts(&step.inputs);
    let rounds = rounds_of(&op.spec, &parts);
    let mut scratch = Vec::new();
    let lse_rounds = step.wanted[3].then_some(Operand::Output(3));
    let problem = problem(NAME, op, &parts, &rounds, (step, caps));
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
    let problem = problem(backward::NAME, &op.forward, &parts, &rounds, (step, caps));
    let (dispatches, walked) = problem.backward(step, &attended, &mut scratch, caps)?;
    Ok(Lowered::Kernels { choice: choice(caps, "backward ", "index maps", &walked), dispatches, scratch })
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
