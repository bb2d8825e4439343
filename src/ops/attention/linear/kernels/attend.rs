//! What rows gather from the states at the ends of their chunk and from the pairs of the chunk.

use super::sums::{Stands, States};
use super::{Frame, Rows, Tile, rows};
use crate::Result;
use crate::kernel::{Kernel, Operand, wgsl};
use crate::ops::Activation;
use crate::ops::attention::linear::settings::Denominator;
use crate::tensor::DType;

/// Vectors of four that a lane sums up in registers.
const MOST_SUMS: u32 = 32;

/// What the vector of a state adds to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum RowVector {
    /// Nothing, or the row's product with it to its denominator.
    None,
    /// Itself, times the row's addend.
    Weighted,
    /// Itself.
    Once,
}

/// What a row's sums are stored as.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Finish {
    AsItIs,
    /// They are gradients of features of these rows.
    ThroughFeatures(Rows),
    /// Times -1.
    Negated,
    /// Less the same rows of this tensor.
    Less(Rows),
}

/// One kind of rows, and what it gathers: `near_r State + sum_c (near_r . far_c + addends) summed_c`.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pass {
    pub(in super::super) label: &'static str,
    pub(in super::super) rows_are_keys: bool,
    /// Whether a row does not see its own time.
    pub(in super::super) is_strict: bool,
    /// Whether `near` and `far` have the channels of keys; if not, the result has.
    pub(in super::super) near_channels: bool,
    pub(in super::super) near: Rows,
    pub(in super::super) far: Rows,
    pub(in super::super) summed: Rows,
    pub(in super::super) states: Stands,
    pub(in super::super) row_vector: RowVector,
    pub(in super::super) has_denominator: bool,
    pub(in super::super) row_addends: bool,
    pub(in super::super) column_addends: bool,
    pub(in super::super) result: Rows,
    pub(in super::super) finish: Finish,
    pub(in super::super) denominators: Option<Operand>,
}

/// Rows of each lane, and packs of channels.
#[derive(Clone, Copy, Debug)]
struct Share {
    rows: u32,
    packs: u32,
}

impl Frame<'_> {
    pub(in super::super) fn gather(&mut self, pass: &Pass) -> Result<()> {
        let is_within = self.rule.is_masked();
        let (time, group) = match pass.rows_are_keys {
            true => (self.dims.key_time, 1),
            false => (self.dims.query_time, self.dims.group()),
        };
        let (chunks, chunk_rows) =
            if is_within { (self.chunks_of(time), self.chunk * group) } else { (1, time * group) };
        let tile = self.tile();
        let share =
            share(tile, pass.result.size, chunk_rows.min(time * group), self.caps.tuning.attention.rows);
        let tiles = chunk_rows.div_ceil((share.rows * tile.groups) as usize).max(1);
        let near_packs = pass.near.size.div_ceil(4) as u64;
        let columns = self.chunk * if pass.rows_are_keys { self.dims.group() } else { 1 };
        let column_tiles = columns.div_ceil(4 * tile.lanes as usize) as u64 + 1;
        let turns = 2 * (near_packs + 2) + column_tiles * (near_packs + u64::from(tile.lanes) + 4);
        let mut kernel = self
            .kernel(pass.label, wgsl!("attention/linear/attend.wgsl.j2"))
            .source(wgsl!("attention/linear/meeting.wgsl.j2"))
            .constant("LANES_X", tile.lanes)
            .constant("LANES_Y", tile.groups)
            .constant("SHARED_READS", tile.one_subgroup)
            .constant("ROWS", share.rows)
            .constant("LANE_PACKS", share.packs)
            .constant("NEAR_SIZE", pass.near.size as u32)
            .constant("OUT_SIZE", pass.result.size as u32)
            .constant("ROWS_ARE_KEYS", pass.rows_are_keys)
            .constant("CAUSAL", self.rule.is_causal)
            .constant("STRICT", pass.is_strict)
            .constant("KEYS_ARE_QUERIES", self.keys_are_queries)
            .constant("NEAR_CHANNELS", pass.near_channels)
            .constant("WITHIN", is_within)
            .constant("DENOMINATOR", pass.has_denominator)
            .constant("ADDS_EPS", matches!(self.rule.denominator, Some(Denominator::Plus(_))))
            .constant("ROW_ADDENDS", pass.row_addends)
            .constant("COLUMN_ADDENDS", pass.column_addends)
            .constant("ROW_VECTOR", pass.row_vector as u32)
            .constant("RECORD", pass.states.record())
            .constant("STATE_BEFORE", pass.states.before.is_some())
            .constant("STATE_BEHIND", pass.states.behind.is_some())
            .params(self.params(chunks, chunk_rows, tiles)?)
            .turns(turns);
        if is_within || pass.has_denominator {
            kernel = kernel.source(match tile.one_subgroup {
                true => wgsl!("attention/exchange_subgroup.wgsl"),
                false => wgsl!("attention/exchange_workgroup.wgsl"),
            });
        }
        if tile.one_subgroup {
            kernel = kernel.subgroups_of(tile.lanes);
        }
        kernel = pass.near.read(kernel, "near");
        if is_within {
            kernel = pass.summed.read(pass.far.read(kernel, "far"), "summed");
        }
        for (name, states) in [("states0", pass.states.before), ("states1", pass.states.behind)] {
            if let Some(States { operand, .. }) = states {
                kernel = kernel.lanes(4).read(name, operand, DType::F32);
            }
        }
        let kernel = finished(pass.result.write(kernel, "result"), pass);
        let workgroups = if time == 0 { 0 } else { self.workgroups(chunks, tiles)? };
        let dispatch = kernel.lanes(4).per_workgroup(workgroups, tile.lanes * tile.groups);
        self.push(dispatch);
        Ok(())
    }
}

impl Stands {
    fn record(&self) -> u32 {
        self.before.or(self.behind).map_or(0, |states| states.record)
    }
}

/// As many rows as there are and registers hold.
fn share(tile: Tile, size: usize, rows: usize, most: u32) -> Share {
    let packs = (size.div_ceil(4) as u32).div_ceil(tile.lanes);
    let rows = u32::try_from(rows).unwrap_or(u32::MAX).div_ceil(tile.groups).max(1);
    let fitted = rows.min(most).next_power_of_two().min(most);
    Share { rows: fitted.min((MOST_SUMS / packs).max(1)), packs }
}

/// The kernel with the WGSL functions that store results: `finish(batch, row, place, pack, sum)` and `put_denominator(place, denominator)`.
fn finished(kernel: Kernel, pass: &Pass) -> Kernel {
    let (kernel, value) = match pass.finish {
        Finish::AsItIs => (kernel, "sum".to_owned()),
        Finish::ThroughFeatures(Rows { map: Activation::Identity, scale, .. }) => {
            (kernel, format!("{scale:e}f * sum"))
        }
        Finish::ThroughFeatures(rows) => {
            (rows.read_slope(kernel, "mapped"), "sum * mapped_slope(place, pack)".to_owned())
        }
        Finish::Negated => (kernel, "-sum".to_owned()),
        Finish::Less(rows) => (rows.read(kernel, "other"), "sum - other_row(place, pack)".to_owned()),
    };
    let value = match pass.rows_are_keys {
        true => format!("select(vec4(0.0), {value}, row < key_end(batch))"),
        false => value,
    };
    let kernel = match pass.denominators {
        Some(operand) => kernel.write_elements("denominators", operand, DType::F32),
        None => kernel.lanes(1).write_if("denominators", None, DType::F32),
    };
    let text = format!(
        "fn finish(batch: u32, row: u32, place: u32, pack: u32, sum: vec4<f32>) {{\n    put_result(place, pack, {value});\n}}\n\
         fn put_denominator(place: u32, denominator: f32) {{\n    store_denominators(place, denominator);\n}}\n"
    );
    kernel.generated([rows::generated(text)])
}
