//! The states that stand before, or behind, each chunk: sums of the chunks, and a scan over them.

use super::{Frame, Rows};
use crate::Result;
use crate::kernel::{Kernel, Operand, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Vectors of four that a lane sums up in registers.
const MOST_SUMS: u32 = 32;

/// What the vector of a state sums: nothing, or the tensor of its rows or columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Vector {
    None,
    OfRows,
    OfColumns,
}

/// What a state is the sum of: outer products of rows of `near` and `far`.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Sums {
    /// Whether rows are keys; if not, they are those of queries.
    pub(in super::super) of_keys: bool,
    pub(in super::super) near: Rows,
    pub(in super::super) far: Rows,
    pub(in super::super) vector: Vector,
    /// Whether the vector's rows are weighted by the addends of queries.
    pub(in super::super) is_weighted: bool,
    /// Whether rows of the matrix are the channels of values, and its columns those of keys.
    pub(in super::super) transposed: bool,
    /// What stands before the first chunk, or, of sums from behind, behind the last one: sums and normalizer.
    pub(in super::super) given: Option<(Operand, Option<Operand>)>,
    /// Where the state at the other end goes.
    pub(in super::super) last: Option<(Operand, Option<Operand>)>,
}

/// States before or behind each chunk, or one for all.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct States {
    pub(super) operand: Operand,
    /// Vectors of four of a state.
    pub(super) record: u32,
}

/// The states that rows gather from.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Stands {
    pub(super) before: Option<States>,
    pub(super) behind: Option<States>,
}

impl Stands {
    pub(in super::super) fn before(states: States) -> Self {
        Self { before: Some(states), behind: None }
    }

    pub(in super::super) fn behind(states: States) -> Self {
        Self { before: None, behind: Some(states) }
    }
}

impl Sums {
    fn columns(&self) -> usize {
        self.far.size
    }

    fn vector_size(&self) -> usize {
        match self.vector {
            Vector::None => 0,
            Vector::OfRows => self.near.size,
            Vector::OfColumns => self.far.size,
        }
    }

    fn record(&self) -> usize {
        self.near.size * self.columns().div_ceil(4) + self.vector_size().div_ceil(4)
    }
}

impl Frame<'_> {
    /// The states that rows of the other side gather from: of a causal rule those before each chunk, or those behind it where `reverse`; of
    /// packed sequences without order both; of all others one. `is_read`: whether anybody gathers; if not, only the last one is of use.
    pub(in super::super) fn states(&mut self, sums: &Sums, reverse: bool, is_read: bool) -> Result<Stands> {
        let time = if sums.of_keys { self.dims.key_time } else { self.dims.query_time };
        let is_masked = self.rule.is_masked();
        // What a single chunk sums, its rows see as pairs.
        let is_alone = is_masked && self.chunks_of(time) == 1 && sums.given.is_none();
        if sums.last.is_none() && (is_alone || !is_read) {
            return Ok(Stands::default());
        }
        let both = is_masked && !self.rule.is_causal;
        let mut stands = Stands::default();
        if both || !reverse || !is_masked {
            // The end of a walk is where the state is asked for: of sums from behind that is the first chunk.
            let ends = if both && reverse { Sums { given: None, last: None, ..*sums } } else { *sums };
            stands.before = Some(self.scanned(&ends, false)?);
        }
        if is_masked && (both || reverse) {
            let ends = if both && !reverse { Sums { given: None, last: None, ..*sums } } else { *sums };
            stands.behind = Some(self.scanned(&ends, true)?);
        }
        Ok(stands)
    }

    /// The sums of all chunks, and the scan over them.
    fn scanned(&mut self, sums: &Sums, reverse: bool) -> Result<States> {
        let time = if sums.of_keys { self.dims.key_time } else { self.dims.query_time };
        let chunks = self.chunks_of(time);
        let heads = self.dims.batch * self.dims.kv_heads;
        let record = to_u32(self.op, "state", sums.record())?;
        let vectors = to_u32(self.op, "states", (record as usize).saturating_mul(heads))?;
        let all = to_u32(self.op, "states", (vectors as usize).saturating_mul(chunks))?;
        let states = States { operand: self.scratch(16 * u64::from(all)), record };
        self.sum_chunks(sums, states, chunks, reverse)?;
        self.scan(sums, states, chunks, vectors, reverse)?;
        Ok(states)
    }

    pub(super) fn sum_chunks(
        &mut self,
        sums: &Sums,
        states: States,
        chunks: usize,
        reverse: bool,
    ) -> Result<()> {
        let tile = self.tile();
        let column_packs = (sums.columns().div_ceil(4) as u32).div_ceil(tile.lanes);
        let near_packs = sums.near.size.div_ceil(4) as u32;
        let most_packs = near_packs.div_ceil(tile.groups).min(4);
        let own_packs = (MOST_SUMS / (4 * column_packs)).clamp(1, most_packs);
        let tiles = near_packs.div_ceil(own_packs * tile.groups) as usize;
        let group = if sums.of_keys { 1 } else { self.dims.group() };
        let mut kernel = self
            .kernel("attention/linear/sums", wgsl!("attention/linear/sums.wgsl.j2"))
            .constant("LANES_X", tile.lanes)
            .constant("LANES_Y", tile.groups)
            .constant("SHARED_READS", tile.one_subgroup)
            .constant("A_PACKS", own_packs)
            .constant("COLUMN_PACKS", column_packs)
            .constant("ROWS", sums.near.size as u32)
            .constant("COLUMNS", sums.columns() as u32)
            .constant("RECORD", states.record)
            .constant("OF_KEYS", sums.of_keys)
            .constant("REVERSE", reverse)
            .constant("FAR_CHANNELS", sums.transposed)
            .constant("VECTOR", sums.vector as u32)
            .constant("WEIGHTED", sums.is_weighted)
            .params(self.params(chunks, 1, tiles)?)
            .turns((self.chunk * group) as u64 + 2);
        if tile.one_subgroup {
            kernel = kernel.subgroups_of(tile.lanes);
        }
        let kernel = sums.far.read(sums.near.read(kernel, "near"), "far");
        let workgroups = self.workgroups(chunks, tiles)?;
        let dispatch = kernel
            .write("states", states.operand, DType::F32)
            .per_workgroup(workgroups, tile.lanes * tile.groups);
        self.push(dispatch);
        Ok(())
    }

    fn scan(
        &mut self,
        sums: &Sums,
        states: States,
        chunks: usize,
        vectors: u32,
        reverse: bool,
    ) -> Result<()> {
        let read_if = |kernel: Kernel, name, operand| kernel.lanes(1).read_if(name, operand, DType::F32);
        let write_if = |kernel: Kernel, name, operand| kernel.lanes(1).write_if(name, operand, DType::F32);
        let kernel = self
            .kernel("attention/linear/scan", wgsl!("attention/linear/scan.wgsl.j2"))
            .constant("ROWS", sums.near.size as u32)
            .constant("COLUMNS", sums.columns() as u32)
            .constant("VECTOR_SIZE", sums.vector_size() as u32)
            .constant("RECORD", states.record)
            .constant("TRANSPOSED", sums.transposed)
            .constant("TOTAL", !self.rule.is_masked())
            .constant("REVERSE", reverse)
            .constant("HAS_LAST", sums.last.is_some())
            .params(self.params(chunks, 1, 1)?)
            .turns(chunks as u64)
            .update("states", states.operand, DType::F32);
        let kernel = read_if(kernel, "given", sums.given.map(|(matrix, _)| matrix));
        let kernel = read_if(kernel, "given_vector", sums.given.and_then(|(_, vector)| vector));
        let kernel = write_if(kernel, "last", sums.last.map(|(matrix, _)| matrix));
        let kernel = write_if(kernel, "last_vector", sums.last.and_then(|(_, vector)| vector));
        let dispatch = kernel.lanes(4).per_element(vectors, self.caps);
        self.push(dispatch);
        Ok(())
    }
}
