//! Lowering: what rows must know beforehand, the features that are worth storing, the states, and what rows gather from these and from their
//! own chunk.
//!
//! Rows of queries are (time, group member) pairs, as in blocked attention. A chunk is [`CHUNK`] times: its pairs cost as many products as its
//! state where head and value sizes are 64. The page `performance` of the guide has times.

mod attend;
mod auxiliary;
mod delta;
mod features;
mod own;
mod rows;
mod sums;

pub(super) use attend::{Finish, Pass, RowVector};
pub(super) use own::Own;
pub(super) use rows::Rows;
pub(super) use sums::{Stands, Sums, Vector};

use super::rule::{Decay, Rule};
use super::settings::Denominator;
use super::{DENOMINATOR, Dims, NAME, NORMALIZER, OUT, REQUIRED, SUMS};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Choice, Dispatch, Kernel, Lowered, Operand, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

/// Times of a chunk, where the caller does not say and memory allows.
const CHUNK: usize = 64;

/// The same with decays of each channel: a pair of times costs an exponent for each channel then, and a state what it costs without.
const CHUNK_OF_CHANNELS: usize = 16;

/// Keys of a part of a sum over all keys.
const PART: usize = 256;

params! {
    /// What every kernel that knows rows and chunks is told. `bounds` and `addends` are words of the auxiliary buffer.
    struct FrameParams {
        batch: u32,
        query_time: u32,
        key_time: u32,
        heads: u32,
        kv_heads: u32,
        chunk: u32,
        chunks: u32,
        chunk_rows: u32,
        tiles: u32,
        bounds: u32,
        addends: u32,
        decays: u32,
        eps: f32,
    }
}

/// The op's dispatches while they are put together.
pub(super) struct Frame<'a> {
    pub(super) op: &'static str,
    pub(super) rule: &'a Rule,
    pub(super) dims: Dims,
    pub(super) dtype: DType,
    pub(super) caps: &'a Caps,
    /// Times of a chunk.
    chunk: usize,
    aux: Option<Operand>,
    bounds: usize,
    addends: usize,
    decays: usize,
    /// What is left of states behind each key, of decays of each channel.
    channel_decays: Option<Operand>,
    /// Whether keys stand in the place of queries.
    keys_are_queries: bool,
    scratch: Vec<u64>,
    dispatches: Vec<Dispatch>,
}

/// A tile of [`Frame`]'s kernels.
#[derive(Clone, Copy, Debug)]
struct Tile {
    lanes: u32,
    groups: u32,
    one_subgroup: bool,
}

impl<'a> Frame<'a> {
    /// `tensors` is where the rule's tensors begin among the inputs. `has_addends`: whether the op has a number of each row of queries.
    pub(super) fn new(
        op: &'static str,
        rule: &'a Rule,
        step: &StepDesc,
        tensors: usize,
        has_addends: bool,
        caps: &'a Caps,
    ) -> Result<Self> {
        let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
        let lengths = if rule.has_lengths { dims.batch } else { 0 };
        let bounds = if rule.has_segments { 2 * dims.batch * dims.key_time } else { 0 };
        let addends = if has_addends { dims.batch * dims.query_time * dims.heads } else { 0 };
        let keys = dims.batch * dims.key_time * dims.kv_heads;
        let decays = if rule.decay == Decay::Steps { 2 * keys } else { 0 };
        let words = lengths + bounds + addends + decays;
        let mut frame = Self {
            op,
            rule,
            dims,
            dtype: step.inputs[0].dtype,
            caps,
            chunk: chunk(rule, &dims, caps),
            aux: None,
            bounds: lengths,
            addends: lengths + bounds,
            decays: lengths + bounds + addends,
            channel_decays: None,
            keys_are_queries: false,
            scratch: Vec::new(),
            dispatches: Vec::new(),
        };
        if words > 0 {
            to_u32(op, "auxiliary buffer", words)?;
            frame.aux = Some(frame.scratch(4 * words as u64));
        }
        if rule.decay == Decay::Channels {
            let packs = 2 * keys * dims.head_size.div_ceil(4);
            frame.channel_decays = Some(frame.scratch(16 * packs as u64));
        }
        frame.fill_aux(tensors)?;
        frame.fill_decays(tensors)?;
        Ok(frame)
    }

    pub(super) fn scratch(&mut self, bytes: u64) -> Operand {
        // A buffer has at least a vector.
        self.scratch.push(bytes.max(16));
        Operand::Scratch(self.scratch.len() - 1)
    }

    pub(super) fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }

    /// The auxiliary buffer, for a kernel that fills a part of it.
    pub(super) fn aux(&self) -> Option<Operand> {
        self.aux
    }

    /// Where the addends of the rows of queries begin in it.
    pub(super) fn first_addend(&self) -> Result<u32> {
        to_u32(self.op, "addends", self.addends)
    }

    fn params(&self, chunks: usize, chunk_rows: usize, tiles: usize) -> Result<FrameParams> {
        let to_u32 = |what, count| to_u32(self.op, what, count);
        let eps = match self.rule.denominator {
            Some(Denominator::Plus(eps) | Denominator::AtLeast(eps)) => eps,
            None => 0.0,
        };
        Ok(FrameParams {
            batch: to_u32("batch", self.dims.batch)?,
            query_time: to_u32("query", self.dims.query_time)?,
            key_time: to_u32("key", self.dims.key_time)?,
            heads: to_u32("heads", self.dims.heads)?,
            kv_heads: to_u32("kv_heads", self.dims.kv_heads)?,
            chunk: to_u32("chunk", self.chunk)?,
            chunks: to_u32("chunks", chunks)?,
            chunk_rows: to_u32("chunk", chunk_rows)?,
            tiles: to_u32("tiles", tiles)?,
            bounds: to_u32("segments", self.bounds)?,
            addends: to_u32("addends", self.addends)?,
            decays: to_u32("log_decay", self.decays)?,
            eps,
        })
    }

    /// A kernel with what frame.wgsl leaves open, and with decays of channels.
    fn kernel(&self, label: &'static str, source: crate::kernel::Source) -> Kernel {
        let kernel = self.kernel_of_rows(label, source);
        match self.channel_decays {
            Some(decays) => kernel
                .source(wgsl!("attention/linear/channels.wgsl"))
                .constant("HEAD_SIZE", self.dims.head_size as u32)
                .lanes(4)
                .read("decays", decays, DType::F32),
            None => kernel,
        }
    }

    /// A kernel with what frame.wgsl leaves open.
    fn kernel_of_rows(&self, label: &'static str, source: crate::kernel::Source) -> Kernel {
        let kernel = Kernel::new(label, [source, wgsl!("attention/linear/frame.wgsl")])
            .constant("LENGTHS", self.rule.has_lengths)
            .constant("SEGMENTS", self.rule.has_segments)
            .constant("DECAYS", self.rule.decay as u32)
            .constant("GROUP", self.dims.group() as u32)
            .source(wgsl!("elementwise/math.wgsl"));
        match self.aux {
            Some(aux) => kernel.read_elements("aux", aux, DType::U32).lanes(4),
            None => kernel.lanes(1).read_if("aux", None, DType::U32).lanes(4),
        }
    }

    fn tile(&self) -> Tile {
        let AttentionTile { lanes, row_groups, one_subgroup, .. } = self.caps.tuning.attention;
        Tile { lanes, groups: row_groups, one_subgroup }
    }

    /// Workgroups of every tile of every chunk of every head.
    fn workgroups(&self, chunks: usize, tiles: usize) -> Result<u32> {
        let heads = self.dims.batch.saturating_mul(self.dims.kv_heads);
        to_u32(self.op, "workgroups", heads.saturating_mul(chunks).saturating_mul(tiles))
    }

    /// Times of a side, in chunks.
    fn chunks_of(&self, time: usize) -> usize {
        time.div_ceil(self.chunk).max(1)
    }

    /// The values.
    pub(super) fn values(&self) -> Rows {
        Rows::plain(Operand::Input(2), self.dtype, self.dims.value_size)
    }

    /// What `run` puts together with keys in the place of queries, one for each key head.
    pub(super) fn with_keys_as_queries<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let heads = std::mem::replace(&mut self.dims.heads, self.dims.kv_heads);
        self.keys_are_queries = true;
        let made = run(self);
        self.keys_are_queries = false;
        self.dims.heads = heads;
        made
    }

    /// Everything that was put together.
    pub(super) fn finish(self) -> Lowered {
        let mut way = match self.rule.is_masked() {
            false => "one state".to_owned(),
            true => format!("chunks of {}", self.chunk),
        };
        for (holds, words) in [
            (self.rule.has_segments, ", packed"),
            (self.rule.decay == Decay::Steps, ", decays"),
            (self.rule.decay == Decay::Channels, ", decays of channels"),
            (self.rule.is_delta, ", delta rule"),
        ] {
            way += if holds { words } else { "" };
        }
        let choice = Choice {
            tier: Tier::RegisterTile,
            kernel: way.into(),
            reason: format!("{}: time linear in length", self.caps.adapter.name()).into(),
        };
        Lowered::Kernels { choice, dispatches: self.dispatches, scratch: self.scratch }
    }
}

/// Times of a chunk: as asked for, or by default, and more where one binding would not hold the states.
fn chunk(rule: &Rule, dims: &Dims, caps: &Caps) -> usize {
    let time = dims.key_time.max(dims.query_time).max(1);
    let default = match (rule.is_masked(), rule.decay) {
        (false, _) => PART,
        (true, Decay::Channels) => CHUNK_OF_CHANNELS,
        (true, _) => CHUNK,
    };
    let mut chunk = rule.chunk.map_or(default, |times| times as usize).min(time);
    if rule.is_delta {
        // Its kernels have a chunk in workgroup memory, and its triangle grows with the square.
        return chunk.min(delta::MOST_TIMES);
    }
    let widths = (dims.head_size + 4) * (dims.value_size + 4);
    let state = (4 * dims.batch * dims.kv_heads).saturating_mul(widths);
    while chunk < time && state.saturating_mul(time.div_ceil(chunk)) as u64 > caps.max_binding_bytes {
        chunk *= 2;
    }
    chunk
}

pub(super) fn lower(rule: &Rule, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let mut frame = Frame::new(NAME, rule, step, REQUIRED, false, caps)?;
    let dims = frame.dims;
    let (x, y, v) = (frame.features(0)?, frame.features(1)?, frame.values());
    let wanted = |output: usize| step.wanted.get(output) == Some(&true);
    let parts: Vec<usize> = (SUMS..SUMS + rule.state_parts()).collect();
    let last = parts.iter().any(|&part| wanted(part));
    let given = rule.state_at(REQUIRED).map(|sums| (sums, rule.normalizer_at(REQUIRED)));
    let sums = Sums {
        of_keys: true,
        near: y,
        far: v,
        vector: if rule.is_normalised() { Vector::OfRows } else { Vector::None },
        is_weighted: false,
        transposed: false,
        given: given.map(|(sums, normalizer)| (Operand::Input(sums), normalizer.map(Operand::Input))),
        last: last
            .then(|| (Operand::Output(SUMS), rule.is_normalised().then_some(Operand::Output(NORMALIZER)))),
    };
    let gathers = step.wanted[OUT] || wanted(DENOMINATOR);
    let (states, summed) = match rule.erase_at(REQUIRED) {
        Some(erase) => {
            let solved = frame.added(erase, &sums)?;
            (Stands::before(solved.states), solved.added)
        }
        None => (frame.states(&sums, false, gathers)?, v),
    };
    if gathers {
        frame.gather(&Pass {
            label: "attention/linear/gather",
            rows_are_keys: false,
            is_strict: false,
            near_channels: true,
            near: x,
            far: y,
            summed,
            states,
            row_vector: RowVector::None,
            has_denominator: rule.is_normalised(),
            row_addends: false,
            column_addends: false,
            result: Rows::plain(Operand::Output(OUT), frame.dtype, dims.value_size),
            finish: Finish::AsItIs,
            denominators: wanted(DENOMINATOR).then_some(Operand::Output(DENOMINATOR)),
        })?;
    }
    Ok(frame.finish())
}
