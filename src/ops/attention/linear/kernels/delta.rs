//! The delta rule: triangular systems within chunks, and states from chunk to chunk, one after the other, as what a chunk adds to its state
//! depends on that. On software rasterizers a lane has several times, rows and packs of columns at once, as reading workgroup memory costs more
//! there than the products.

use super::sums::States;
use super::{Frame, Rows, Sums};
use crate::Result;
use crate::kernel::{Kernel, Operand, Params, wgsl};
use crate::ops::attention::linear::rule::Decay;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Times of a chunk, which workgroup memory holds, at most.
pub(super) const MOST_TIMES: usize = 128;

/// Packs of columns that a workgroup of a walk has at most: its lanes sum each in registers.
const MOST_PACKS: usize = 4;

/// Times and rows that a lane of a walk has at once, where a subgroup is a whole workgroup.
const AT_ONCE: u32 = 4;

/// Workgroup memory that every device has.
const WORKGROUP_BYTES: usize = 16 << 10;

/// Loop turns of a walk from chunk to chunk that is not cut: a quarter of what the drivers that count them allow.
const MOST_TURNS: usize = 1 << 14;

/// What the steps of keys add, and what it is made of.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Added {
    /// `r_t`, in the place of values.
    pub(in super::super) added: Rows,
    /// States before each chunk.
    pub(in super::super) states: States,
    /// `M` of each chunk.
    pairs: Operand,
    /// `e_t`, solved.
    reads: Rows,
    /// `y_t`, with decays of channels as far as it is left at the end of its chunk.
    written: Rows,
}

/// One walk over the chunks.
struct Walk<'a> {
    /// Rows that are changed in place.
    rows: Rows,
    near: Rows,
    far: Rows,
    /// What the chunks of a walk from behind add to its states.
    own: Option<States>,
    /// Where it begins and ends.
    sums: &'a Sums,
}

impl Frame<'_> {
    /// What the steps of keys add to the state by the delta rule, with the input `erase`, whose rows read it before. `sums` has what is
    /// written, the values, and where the state begins and ends.
    pub(in super::super) fn added(&mut self, erase: usize, sums: &Sums) -> Result<Added> {
        let erase = Rows::plain(Operand::Input(erase), self.dtype, self.dims.head_size);
        let pairs = self.pairs(erase, sums.near)?;
        let added = self.solved(sums.far, pairs, true, false)?;
        let reads = self.solved(erase, pairs, false, false)?;
        let states = self.new_states(sums)?;
        let written = match self.rule.decay {
            Decay::Channels => self.left_of(sums.near)?,
            _ => sums.near,
        };
        let walk = Walk { rows: added, near: reads, far: written, own: None, sums };
        self.walk(&walk, states)?;
        Ok(Added { added, states, pairs, reads, written })
    }

    /// The gradients of what was added, from those of the rows that read it within their chunks, `rows`, and the states behind each chunk.
    /// `sums` is what the queries of a chunk add to them.
    pub(in super::super) fn added_back(
        &mut self,
        of: &Added,
        rows: Rows,
        sums: &Sums,
    ) -> Result<(Rows, States)> {
        let own = self.new_states(sums)?;
        let chunks = self.chunks_of(self.dims.key_time);
        self.sum_chunks(sums, own, chunks, true)?;
        let states = self.new_states(sums)?;
        let walk = Walk { rows, near: of.written, far: of.reads, own: Some(own), sums };
        self.walk(&walk, states)?;
        Ok((self.solved(rows, of.pairs, true, true)?, states))
    }

    /// `written` as far as decays of channels leave it at the end of its chunk, and behind it what they leave of each state.
    fn left_of(&mut self, written: Rows) -> Result<Rows> {
        let packs = written.packs();
        let vectors = (self.keys().saturating_add(self.states_count())).saturating_mul(packs);
        let count = to_u32(self.op, "rows", vectors)?;
        let left = Rows::padded(self.scratch(16 * u64::from(count)), written.size);
        let chunks = self.chunks_of(self.dims.key_time);
        let kernel = self
            .kernel("attention/linear/delta_left", wgsl!("attention/linear/delta_left.wgsl"))
            .constant("PACKS", packs as u32)
            .params(self.params(chunks, 1, 1)?);
        let dispatch = written
            .read(kernel, "written")
            .lanes(4)
            .write("kept", left.operand, DType::F32)
            .per_element(count, self.caps);
        self.push(dispatch);
        Ok(left)
    }

    /// Memory for a state at each chunk.
    fn new_states(&mut self, sums: &Sums) -> Result<States> {
        let record = to_u32(self.op, "state", sums.near.size * sums.far.packs())?;
        let states = self.states_count().saturating_mul(record as usize);
        to_u32(self.op, "states", states)?;
        Ok(States { operand: self.scratch(16 * states as u64), record })
    }

    fn states_count(&self) -> usize {
        let heads = self.dims.batch.saturating_mul(self.dims.kv_heads);
        heads.saturating_mul(self.chunks_of(self.dims.key_time))
    }

    /// Memory for a row of `size` channels for each key.
    pub(in super::super) fn scratch_rows(&mut self, size: usize) -> Operand {
        self.scratch(16 * (self.keys() * size.div_ceil(4)) as u64)
    }

    fn keys(&self) -> usize {
        self.dims.batch * self.dims.key_time * self.dims.kv_heads
    }

    fn pairs(&mut self, erase: Rows, written: Rows) -> Result<Operand> {
        let vectors = self.chunk.div_ceil(4);
        let stored = to_u32(self.op, "pairs", self.keys().saturating_mul(vectors))?;
        let pairs = self.scratch(16 * u64::from(stored));
        let chunks = self.chunks_of(self.dims.key_time);
        // As many blocks of four rows as vectors of four columns.
        let tiles = self.states_count().saturating_mul(vectors * vectors);
        let count = if stored == 0 { 0 } else { to_u32(self.op, "pairs", tiles)? };
        let kernel = self
            .kernel("attention/linear/delta_pairs", wgsl!("attention/linear/delta_pairs.wgsl.j2"))
            .constant("VECTORS", vectors as u32)
            .constant("PACKS", erase.packs() as u32)
            .params(self.params(chunks, 1, 1)?);
        let kernel = written.read(erase.read(kernel, "erase"), "written");
        let dispatch = kernel.lanes(4).write("pairs", pairs, DType::F32).per_element(count, self.caps);
        self.push(dispatch);
        Ok(pairs)
    }

    /// `source` solved for, in scratch memory. Unless `whole`, a row of it counts as far as the state before its chunk is left there.
    fn solved(&mut self, source: Rows, pairs: Operand, whole: bool, transposed: bool) -> Result<Rows> {
        let packs = source.packs();
        let solved = Rows::padded(self.scratch_rows(source.size), source.size);
        let chunks = self.chunks_of(self.dims.key_time);
        let columns = self.states_count().saturating_mul(packs);
        let count = if self.dims.key_time == 0 { 0 } else { to_u32(self.op, "rows", columns)? };
        let kernel = self
            .kernel("attention/linear/delta_solve", wgsl!("attention/linear/delta_solve.wgsl.j2"))
            .constant("PACKS", packs as u32)
            .constant("VECTORS", self.chunk.div_ceil(4) as u32)
            .constant("SHARES", !whole)
            .constant("TRANSPOSED", transposed)
            .params(self.params(chunks, 1, 1)?)
            .turns((self.chunk * (self.chunk + 2)) as u64);
        let kernel = source.read(kernel, "source").read_elements("pairs", pairs, DType::F32);
        let dispatch =
            kernel.lanes(4).update("solved", solved.operand, DType::F32).per_element(count, self.caps);
        self.push(dispatch);
        Ok(solved)
    }

    fn walk(&mut self, walk: &Walk<'_>, states: States) -> Result<()> {
        let tile = self.tile();
        let lanes = tile.lanes * tile.groups;
        let (rows, columns) = (walk.sums.near.size, walk.sums.far.size);
        let chunks = self.chunks_of(self.dims.key_time);
        let heads = self.dims.batch.saturating_mul(self.dims.kv_heads);
        let packs = self.column_packs(walk.rows.packs(), rows);
        let workgroups = to_u32(self.op, "workgroups", heads.saturating_mul(walk.rows.packs() / packs))?;
        let shares = |count: usize| count.div_ceil(lanes as usize);
        let turns = shares(self.chunk) * (rows.div_ceil(4) + 2) + shares(rows) * (self.chunk + 6) + 4;
        let far_stride = if walk.far.is_padded { 4 * walk.far.packs() } else { walk.far.size };
        let steps = (MOST_TURNS / turns).max(1);
        for first in (0..chunks).step_by(steps) {
            let end = chunks.min(first + steps);
            let mut params: Params = self.params(chunks, 1, 1)?.into();
            params.push("first_step", to_u32(self.op, "chunks", first)?);
            params.push("end_step", to_u32(self.op, "chunks", end)?);
            // What decays of channels leave stands with the rows that are written.
            let kernel = self
                .kernel_of_rows("attention/linear/delta_walk", wgsl!("attention/linear/delta_walk.wgsl.j2"))
                .constant("ROWS", rows as u32)
                .constant("COLUMNS", columns as u32)
                .constant("RECORD", states.record)
                .constant("CHUNK", self.chunk as u32)
                .constant("COLUMN_PACKS", packs as u32)
                .constant("AT_ONCE", if self.caps.tuning.attention.one_subgroup { AT_ONCE } else { 1 })
                .constant("FAR_STRIDE", far_stride as u32)
                .constant("REVERSE", walk.own.is_some())
                .constant("HAS_LAST", walk.sums.last.is_some())
                .params(params)
                .turns((turns * (end - first)) as u64);
            let kernel =
                walk.near.read(kernel, "near").read_elements("far", walk.far.operand, walk.far.dtype);
            let kernel = kernel.lanes(4).update("rows", walk.rows.operand, DType::F32).update(
                "states",
                states.operand,
                DType::F32,
            );
            let kernel = match walk.own {
                Some(own) => kernel.read("own", own.operand, DType::F32),
                None => kernel,
            };
            let given = walk.sums.given.map(|(matrix, _)| matrix);
            let last = walk.sums.last.map(|(matrix, _)| matrix);
            let kernel = kernel.lanes(1).read_if("given", given, DType::F32);
            let kernel = kernel.write_if("last", last, DType::F32).lanes(4);
            let dispatch = kernel.per_workgroup(workgroups, lanes);
            self.push(dispatch);
        }
        Ok(())
    }

    /// How many of `all` packs of columns a workgroup of a walk has. Where a subgroup is a whole workgroup, reading a row again costs more than other
    /// workgroups would gain: as many as go into `all` and, with the state's `rows` and the chunk, into workgroup memory.
    fn column_packs(&self, all: usize, rows: usize) -> usize {
        let most = match self.caps.tuning.attention.one_subgroup {
            true => (WORKGROUP_BYTES / (16 * (rows.next_multiple_of(4) + self.chunk))).clamp(1, MOST_PACKS),
            false => 1,
        };
        (1..=most).rev().find(|packs| all.is_multiple_of(*packs)).unwrap_or(1)
    }

    /// `states` of `rows` by `columns` with the two exchanged.
    pub(in super::super) fn turned(&mut self, states: States, rows: usize, columns: usize) -> Result<States> {
        let record = to_u32(self.op, "state", columns * rows.div_ceil(4))?;
        let count = to_u32(self.op, "states", self.states_count().saturating_mul(record as usize))?;
        let turned = States { operand: self.scratch(16 * u64::from(count)), record };
        let dispatch = Kernel::new("attention/linear/turn", [wgsl!("attention/linear/turn.wgsl")])
            .constant("ROWS", rows as u32)
            .constant("COLUMNS", columns as u32)
            .lanes(4)
            .read("states", states.operand, DType::F32)
            .write("turned", turned.operand, DType::F32)
            .per_element(count, self.caps);
        self.push(dispatch);
        Ok(turned)
    }

    /// Rows of scratch memory, one for each key, written to an output of the op.
    pub(in super::super) fn put_rows(&mut self, source: Rows, result: Rows) -> Result<()> {
        let count = to_u32(self.op, "rows", self.keys().saturating_mul(source.packs()))?;
        let kernel = Kernel::new("attention/linear/rows", [wgsl!("attention/linear/rows.wgsl")])
            .constant("PACKS", source.packs() as u32);
        let dispatch = result.write(source.read(kernel, "source"), "result").per_element(count, self.caps);
        self.push(dispatch);
        Ok(())
    }
}
