//! One kernel's walk over the rounds of an order, a dispatch for each, and its parameters.
//!
//! Tiles are those of blocked attention, of the same macros; rows and columns are slots, whose entries in the index say where their rows lie. A
//! tile of rows may span several chunks, which then meet the columns of all of them, those of others hidden.

use super::{Border, Chunked};
use crate::Result;
use crate::kernel::{AttentionTile, Dispatch, Operand, Params, Shader, params};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::turns::{self, Turns};
use crate::ops::attention::blocked::walk::Tile;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct SlotParams {
        batch: u32,
        kv_heads: u32,
        query_time: u32,
        key_time: u32,
        result_time: u32,
        count: u32,
        splits: u32,
        line: u32,
        queries_from: u32,
        keys_from: u32,
        buckets_from: u32,
        chunks_from: u32,
        round: u32,
        rounds: u32,
        query_slots: u32,
        key_slots: u32,
        query_chunk: u32,
        key_chunk: u32,
        chunks: u32,
        group_chunks: u32,
        before: u32,
        after: u32,
        shown_from: u32,
        nearest: u32,
        farthest: u32,
        earlier: u32,
        scale: f32,
        self_score: f32,
    }
}

/// One round of an order, which is one dispatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Its number among those that the index holds with the same extents, and how many these are: a ring's.
    pub(super) number: usize,
    pub(super) of: usize,
    /// Where the entries of number 0 begin in a line of the index.
    pub(super) queries_from: usize,
    pub(super) keys_from: usize,
    pub(super) query_chunk: usize,
    pub(super) key_chunk: usize,
    pub(super) chunks: usize,
    /// Chunks that lie together: none sees one beyond.
    pub(super) group: usize,
    /// Chunks before a query's own and behind it that it sees; of -1, not even its own.
    pub(super) before: i64,
    pub(super) after: i64,
    /// How far before a query the keys lie that it sees, from the nearest to the farthest; behind it, below 0.
    pub(super) band: Option<[i64; 2]>,
}

impl Round {
    pub(super) fn query_slots(&self) -> usize {
        self.chunks * self.query_chunk
    }

    pub(super) fn key_slots(&self) -> usize {
        self.chunks * self.key_chunk
    }
}

/// Where the index of a batch item and head lies, and what it holds beside entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Integers of it; 0 where all items and heads have the same.
    pub(super) length: usize,
    pub(super) buckets_from: usize,
    pub(super) chunks_from: usize,
}

/// One kernel's walk over the rounds of a problem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    pub(super) op: &'static str,
    pub(super) spec: &'a Chunked,
    pub(super) rounds: &'a [Round],
    pub(super) line: Line,
    /// Positions or slots that have a row of the output.
    pub(super) result_time: usize,
    pub(super) dims: Dims,
    pub(super) dtype: DType,
    pub(super) tile: AttentionTile,
    pub(super) rows_are_keys: bool,
}

impl Walk<'_> {
    /// A dispatch for each round.
    pub(super) fn of_rounds(
        &self,
        shader: &Shader,
        bindings: &[(&'static str, Operand)],
    ) -> Result<Vec<Dispatch>> {
        let dispatches = self.rounds.iter().enumerate().map(|(at, round)| {
            let slots = if self.rows_are_keys { round.key_slots() } else { round.query_slots() };
            let row_tiles = slots.div_ceil(Tile::Registers(self.tile).rows() as usize);
            let workgroups = self.dims.batch.saturating_mul(self.dims.heads).saturating_mul(row_tiles);
            let count = to_u32(self.op, "workgroups", workgroups)?;
            Ok(Dispatch {
                shader: shader.clone(),
                bindings: bindings.to_vec(),
                params: self.params(round, at > 0, count)?,
                workgroups: count.into(),
                turns: self.turns(round).with(1) + self.meetings(round),
            })
        });
        dispatches.collect()
    }

    fn params(&self, round: &Round, has_earlier: bool, count: u32) -> Result<Params> {
        let (spec, dims) = (self.spec, &self.dims);
        let to_u32 = |what, number| to_u32(self.op, what, number);
        let less = if spec.is_deduplicated { (spec.rounds as f32).ln() } else { 0.0 };
        // Columns are counted up to three times round the ring.
        to_u32("order", 3 * round.of.saturating_mul(round.query_slots().max(round.key_slots())))?;
        // Two's complement, which the kernel takes for i32.
        let signed = |number: i64| number.clamp(i32::MIN.into(), i32::MAX.into()) as i32 as u32;
        let [nearest, farthest] = round.band.unwrap_or_default().map(signed);
        Ok(SlotParams {
            batch: to_u32("batch", dims.batch)?,
            kv_heads: to_u32("heads", dims.heads)?,
            query_time: to_u32("query", dims.query_time)?,
            key_time: to_u32("key", dims.key_time)?,
            result_time: to_u32("out", self.result_time)?,
            count,
            splits: 1,
            line: to_u32("order", self.line.length)?,
            queries_from: to_u32("order", round.queries_from)?,
            keys_from: to_u32("order", round.keys_from)?,
            buckets_from: to_u32("order", self.line.buckets_from)?,
            chunks_from: to_u32("order", self.line.chunks_from)?,
            round: to_u32("rounds", round.number)?,
            rounds: to_u32("rounds", round.of)?,
            query_slots: to_u32("order", round.query_slots())?,
            key_slots: to_u32("order", round.key_slots())?,
            query_chunk: to_u32("chunk", round.query_chunk)?,
            key_chunk: to_u32("chunk", round.key_chunk)?,
            chunks: to_u32("chunks", round.chunks)?,
            group_chunks: to_u32("chunks", round.group)?,
            before: signed(round.before),
            after: signed(round.after),
            shown_from: spec.shown_from.min(i32::MAX as usize) as u32,
            nearest,
            farthest,
            earlier: has_earlier.into(),
            scale: spec.scale,
            self_score: (spec.self_score.unwrap_or(0.0) - less) * std::f32::consts::LOG2_E,
        }
        .into())
    }

    /// Loops of one invocation over the columns of a tile.
    pub(super) fn turns(&self, round: &Round) -> Turns {
        let tile = Tile::Registers(self.tile);
        let [own, far] = match self.rows_are_keys {
            false => [round.query_chunk, round.key_chunk],
            true => [round.key_chunk, round.query_chunk],
        };
        let chunks = (round.before + round.after + 1).max(0) as usize + (tile.rows() as usize).div_ceil(own);
        let most = if self.spec.border == Border::Stop { round.chunks } else { chunks };
        let work = turns::Work {
            head_products: 1,
            value_products: 1,
            sums: 2,
            channels: self.dims.head_size.max(self.dims.value_size),
            slots: false,
        };
        Turns::of_tiles(&self.dims, chunks.min(most).saturating_mul(far), self.tile, work)
    }

    /// Loops over the rounds in which pairs meet, where they count once.
    fn meetings(&self, round: &Round) -> u64 {
        if !self.spec.is_deduplicated {
            return 0;
        }
        let (pairs, rounds) =
            (u64::from(self.tile.rows * self.tile.key_vectors * 4), self.spec.rounds as u64);
        (self.turns(round).tiles() + 1) * pairs * rounds * (rounds + 8)
    }
}
