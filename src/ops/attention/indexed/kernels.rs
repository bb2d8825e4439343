//! Lowering: a dispatch for each round, of which the next adds to what the one before has written. Sums are f32: of f16 tensors, several
//! rounds add up in scratch, and a last dispatch rounds what they have found.
//!
//! Tiles are those of blocked attention, of the same macros; rows and columns are slots, whose entries in the index say where their rows lie. A
//! tile of rows may span several chunks, which then meet the columns of all of them, those of others hidden.

use super::backward::{self, IndexedBackward};
use super::{Border, Chunked, INDEX, IndexedAttention, NAME, Parts, Results, is_accumulator};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{
    AttentionTile, Caps, Choice, Dispatch, Kernel, Lowered, Operand, Params, Past, Shader, Source, Tier,
    params, wgsl,
};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::rows::{self, Channels, Rows};
use crate::ops::attention::blocked::walk::{self, Tile};
use crate::ops::attention::blocked::{add_splits, log_sum_exps, turns};
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
        before: u32,
        after: u32,
        shown_from: u32,
        scale: f32,
        self_score: f32,
    }
}

params! {
    struct StatisticsParams {
        start: u32,
        query_time: u32,
        kv_heads: u32,
    }
}

/// One kernel's walk over the rounds of a problem.
#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    op: &'static str,
    attention: &'a IndexedAttention,
    dims: Dims,
    dtype: DType,
    tile: AttentionTile,
    rows_are_keys: bool,
}

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

pub(super) fn lower(op: &IndexedAttention, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    let dtype = step.inputs[0].dtype;
    let tile = fitted(caps.tuning.attention, op.spec.query_slots(), 1, caps);
    let walk = Walk { op: NAME, attention: op, dims, dtype, tile, rows_are_keys: false };
    let mut scratch = Vec::new();
    let out = Sums::of(step, 0, &op.spec, &mut scratch);
    let statistics = match step.wanted[2] {
        true => Operand::Output(2),
        false => {
            scratch.push(step.outputs[2].buffer_bytes());
            Operand::Scratch(scratch.len() - 1)
        }
    };
    let lse_rounds = step.wanted[3].then_some(Operand::Output(3));
    let mut bindings = vec![
        ("query", Operand::Input(0)),
        ("key", Operand::Input(1)),
        ("value", Operand::Input(2)),
        ("out", out.operand),
        ("statistics", statistics),
        ("index", Operand::Input(INDEX)),
    ];
    bindings.extend(lse_rounds.map(|operand| ("lse_rounds", operand)));
    let shader = walk.forward_shader(out.dtype(step), lse_rounds.is_some());
    let mut dispatches = walk.of_rounds(&shader, &bindings)?;
    dispatches.extend(out.rounded(step, caps)?);
    if step.wanted[1] {
        let rows = dims.batch * dims.heads * op.spec.result_time(&dims);
        dispatches.push(log_sum_exps(rows, statistics, Operand::Output(1), caps)?);
    }
    Ok(Lowered::Kernels { choice: choice(caps, "", &[("queries", "keys", tile)]), dispatches, scratch })
}

pub(super) fn lower_backward(op: &IndexedBackward, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
    let (spec, dtype) = (&op.forward.spec, step.inputs[0].dtype);
    let rows = dims.batch * dims.heads * spec.result_time(&dims);
    let mut scratch = vec![(rows.max(1) * 3 * size_of::<f32>()) as u64];
    let row_statistics = Operand::Scratch(0);
    let mut dispatches = vec![find_statistics(op, &dims, dtype, row_statistics, caps)?];
    let results: Vec<Option<Sums>> = (0..3)
        .map(|output| step.wanted[output].then(|| Sums::of(step, output, spec, &mut scratch)))
        .collect();
    let shared = [
        ("query", Operand::Input(0)),
        ("key", Operand::Input(1)),
        ("value", Operand::Input(2)),
        ("d_out", Operand::Input(6)),
        ("index", Operand::Input(INDEX)),
        ("row_statistics", row_statistics),
    ];
    let names = ["dq", "dk", "dv"];
    let mut tiles = Vec::new();
    for (rows_are_keys, own) in [(false, 0..1), (true, 1..3)] {
        let wanted: Vec<(&'static str, &Sums)> =
            own.filter_map(|output| results[output].as_ref().map(|result| (names[output], result))).collect();
        if wanted.is_empty() {
            continue;
        }
        let slots = if rows_are_keys { spec.key_slots() } else { spec.query_slots() };
        let tile = AttentionTile {
            key_vectors: caps.tuning.attention.backward_key_vectors,
            rows: backward_rows(&dims, caps.tuning.attention),
            ..caps.tuning.attention
        };
        let tile = fitted(tile, slots, 1 + u32::from(rows_are_keys), caps);
        let walk = Walk { op: backward::NAME, attention: &op.forward, dims, dtype, tile, rows_are_keys };
        let types: Vec<(&'static str, DType)> =
            wanted.iter().map(|(name, result)| (*name, result.dtype(step))).collect();
        let shader = walk.backward_shader(&types);
        let bindings: Vec<_> =
            shared.into_iter().chain(wanted.iter().map(|(name, result)| (*name, result.operand))).collect();
        dispatches.extend(walk.of_rounds(&shader, &bindings)?);
        tiles.push(if rows_are_keys { ("keys", "queries", tile) } else { ("queries", "keys", tile) });
    }
    for result in results.iter().flatten() {
        dispatches.extend(result.rounded(step, caps)?);
    }
    Ok(Lowered::Kernels { choice: choice(caps, "backward ", &tiles), dispatches, scratch })
}

/// The tile for so many slots of a round, with `arrays` numbers of each pair in workgroup memory.
fn fitted(tile: AttentionTile, slots: usize, arrays: u32, caps: &Caps) -> AttentionTile {
    walk::within(walk::fitted(tile, slots), caps.max_workgroup_bytes, |tile| {
        arrays * walk::pair_bytes(tile)
            + walk::WORD_BYTES
            + 16 * tile.lanes * tile.row_groups * tile.rows.div_ceil(4)
    })
}

/// Rows of a lane, fewer where channels are many, as in the backward passes of blocked attention.
fn backward_rows(dims: &Dims, tile: AttentionTile) -> u32 {
    let packs = walk::lane_packs(dims.head_size, tile) + walk::lane_packs(dims.value_size, tile);
    (walk::MOST_PACKS / packs.max(1)).clamp(1, tile.rows)
}

fn choice(caps: &Caps, pass: &str, tiles: &[(&str, &str, AttentionTile)]) -> Choice {
    let tiles: Vec<String> = tiles
        .iter()
        .map(|&(rows, columns, tile)| {
            let tile = Tile::Registers(tile);
            format!("{} {rows} x {} {columns}", tile.rows(), tile.columns())
        })
        .collect();
    Choice {
        tier: Tier::RegisterTile,
        kernel: format!("{pass}{}, along index maps", tiles.join(", ")).into(),
        reason: format!("{}: rows are read where they lie", caps.adapter.name()).into(),
    }
}

impl Walk<'_> {
    /// A dispatch for each round.
    fn of_rounds(&self, shader: &Shader, bindings: &[(&'static str, Operand)]) -> Result<Vec<Dispatch>> {
        let spec = &self.attention.spec;
        let slots = if self.rows_are_keys { spec.key_slots() } else { spec.query_slots() };
        let row_tiles = slots.div_ceil(Tile::Registers(self.tile).rows() as usize);
        let workgroups = self.dims.batch.saturating_mul(self.dims.heads).saturating_mul(row_tiles);
        let count = to_u32(self.op, "workgroups", workgroups)?;
        (0..spec.rounds)
            .map(|round| {
                Ok(Dispatch {
                    shader: shader.clone(),
                    bindings: bindings.to_vec(),
                    params: self.params(round, count)?,
                    workgroups: count.into(),
                    turns: self.turns(),
                })
            })
            .collect()
    }

    fn params(&self, round: usize, count: u32) -> Result<Params> {
        let (spec, dims) = (&self.attention.spec, &self.dims);
        let parts = Parts::of(spec, dims, self.attention.shares_order);
        let to_u32 = |what, number| to_u32(self.op, what, number);
        let less = if spec.is_deduplicated { (spec.rounds as f32).ln() } else { 0.0 };
        // Columns are counted up to three times round the ring.
        to_u32("order", 3 * spec.rounds.saturating_mul(spec.query_slots().max(spec.key_slots())))?;
        Ok(SlotParams {
            batch: to_u32("batch", dims.batch)?,
            kv_heads: to_u32("heads", dims.heads)?,
            query_time: to_u32("query", dims.query_time)?,
            key_time: to_u32("key", dims.key_time)?,
            result_time: to_u32("out", spec.result_time(dims))?,
            count,
            splits: 1,
            line: to_u32("order", parts.line)?,
            keys_from: to_u32("order", parts.keys)?,
            buckets_from: to_u32("order", parts.buckets)?,
            chunks_from: to_u32("order", parts.chunks)?,
            round: round as u32,
            rounds: to_u32("rounds", spec.rounds)?,
            query_slots: to_u32("order", spec.query_slots())?,
            key_slots: to_u32("order", spec.key_slots())?,
            query_chunk: to_u32("chunk", spec.query_chunk)?,
            key_chunk: to_u32("chunk", spec.key_chunk)?,
            chunks: to_u32("chunks", spec.chunks)?,
            before: to_u32("before", spec.before)?,
            after: to_u32("after", spec.after)?,
            shown_from: spec.shown_from.min(i32::MAX as usize) as u32,
            scale: spec.scale,
            self_score: (spec.self_score.unwrap_or(0.0) - less) * std::f32::consts::LOG2_E,
        }
        .into())
    }

    /// Loops of one invocation.
    fn turns(&self) -> u64 {
        let spec = &self.attention.spec;
        let tile = Tile::Registers(self.tile);
        let [own, far] = match self.rows_are_keys {
            false => [spec.query_chunk, spec.key_chunk],
            true => [spec.key_chunk, spec.query_chunk],
        };
        let chunks = spec.before + spec.after + 1 + (tile.rows() as usize).div_ceil(own);
        let work = turns::Work {
            head_products: 1,
            value_products: 1,
            sums: 2,
            channels: self.dims.head_size.max(self.dims.value_size),
            slots: false,
        };
        let tiles = turns::Turns::of_tiles(&self.dims, chunks.saturating_mul(far), self.tile, work);
        let pairs = u64::from(self.tile.rows * self.tile.key_vectors * 4);
        let rounds = spec.rounds as u64;
        let meetings = if spec.is_deduplicated { pairs * rounds * (rounds + 8) } else { 0 };
        tiles.with(1) + (tiles.tiles() + 1) * meetings
    }

    fn rows(&self) -> Rows {
        Rows { dims: self.dims, dtype: self.dtype, tile: Tile::Registers(self.tile) }
    }

    fn forward_shader(&self, out: DType, stores_rounds: bool) -> Shader {
        let own = [
            wgsl!("attention/indexed/forward.wgsl.j2"),
            wgsl!("attention/softmax.macros.j2"),
            wgsl!("attention/indexed/rows_are_queries.wgsl"),
        ];
        let rounds = match stores_rounds {
            true => {
                "@group(0) @binding(8) var<storage, read_write> lse_rounds: array<f32>;\n\
                 fn store_lse_rounds(at: u32, value: f32) {\n    lse_rounds[at] = value;\n}\n"
            }
            false => "fn store_lse_rounds(at: u32, value: f32) {\n}\n",
        };
        let accessors = [
            self.rows().update("out", 4, Channels::Value, "OutPack"),
            rows::update_statistics(5),
            rounds.to_owned(),
        ];
        self.shader(own, accessors).alias("OutPack", out, walk::pack_lanes(self.dims.value_size))
    }

    /// The pass that writes the results of these names, of these types.
    fn backward_shader(&self, results: &[(&'static str, DType)]) -> Shader {
        let own = match self.rows_are_keys {
            false => {
                [wgsl!("attention/indexed/dq.wgsl.j2"), wgsl!("attention/indexed/rows_are_queries.wgsl")]
            }
            true => [wgsl!("attention/indexed/dkv.wgsl.j2"), wgsl!("attention/indexed/rows_are_keys.wgsl")],
        };
        let own = own
            .into_iter()
            .chain([wgsl!("attention/gradients.macros.j2"), wgsl!("attention/indexed/gradients.wgsl")]);
        // Zeros behind the last channel take what is read there of values out of products.
        let mut accessors = vec![self.rows().read("d_out", 4, Channels::Value, Past::Zero)];
        for &(name, _) in results {
            accessors.push(match name {
                "dv" => self.rows().update("dv", 10, Channels::Value, "ValueSum"),
                name => self.rows().update(name, 9, Channels::Head, "KeySum"),
            });
        }
        let has = |wanted: &[&str]| results.iter().any(|(name, _)| wanted.contains(name));
        let sum = results.first().map_or(self.dtype, |(_, dtype)| *dtype);
        self.shader(own, accessors)
            .alias("KeySum", sum, walk::pack_lanes(self.dims.head_size))
            .alias("ValueSum", sum, walk::pack_lanes(self.dims.value_size))
            .constant("WANTS_SCORES", has(&["dq", "dk"]))
            .constant("WANTS_VALUES", has(&["dv"]))
            .constant("WANTS_SLOTS", false)
            .constant("WANTS_PAIRS", false)
            .constant("SHARES_ADDED", false)
            .constant("SHARES_RAW", false)
    }

    /// What all passes share.
    fn shader(
        &self,
        own: impl IntoIterator<Item = Source>,
        accessors: impl IntoIterator<Item = String>,
    ) -> Shader {
        let (spec, dims, tile) = (&self.attention.spec, &self.dims, self.tile);
        let shared = [
            wgsl!("attention/indexed/slots.wgsl"),
            wgsl!("attention/indexed/pairs.macros.j2"),
            wgsl!("attention/tile.macros.j2"),
            wgsl!("attention/products.macros.j2"),
            wgsl!("attention/softmax.wgsl"),
            wgsl!("attention/walk_ranges.wgsl"),
            wgsl!("lib/lanes_vec4.wgsl"),
            match spec.same_bucket {
                true => wgsl!("attention/indexed/buckets.wgsl"),
                false => wgsl!("attention/indexed/no_buckets.wgsl"),
            },
            match spec.is_deduplicated {
                true => wgsl!("attention/indexed/meetings.wgsl"),
                false => wgsl!("attention/indexed/no_meetings.wgsl"),
            },
        ];
        let rows = self.rows();
        let loads = [
            rows.read("query", 1, Channels::Head, Past::Zero),
            rows.read("key", 2, Channels::Head, Past::Zero),
            rows.read("value", 3, Channels::Value, Past::Last),
        ];
        let sources: Vec<Source> = own.into_iter().chain(shared).collect();
        let shader = Shader::new(self.op, sources)
            .alias("KeyPack", self.dtype, walk::pack_lanes(dims.head_size))
            .alias("ValuePack", self.dtype, walk::pack_lanes(dims.value_size))
            .alias("Lanes", DType::F32, 4)
            .generated([rows::generated(loads.into_iter().chain(accessors))])
            .constant("HEAD_SIZE", dims.head_size as u32)
            .constant("VALUE_SIZE", dims.value_size as u32)
            .constant("KEY_STRIDE", dims.head_size as u32 / walk::pack_lanes(dims.head_size))
            .constant("VALUE_STRIDE", dims.value_size as u32 / walk::pack_lanes(dims.value_size))
            .constant("KEY_LANE_PACKS", walk::lane_packs(dims.head_size, tile))
            .constant("VALUE_LANE_PACKS", walk::lane_packs(dims.value_size, tile))
            .constant("LEFT_OUT", f32::MAX)
            .constant("GROUP", 1)
            .constant("ROWS_ARE_KEYS", self.rows_are_keys)
            .constant("ROWS_ARE_DISTANCES", false)
            .constant("SPLIT", false)
            .constant("HEADS_FIRST", false)
            .constant("LISTED", false)
            .constant("RAMP", false)
            .constant("MERGED", spec.results == Results::Positions)
            .constant("STOPS", spec.border == Border::Stop)
            .constant("CAUSAL", spec.is_causal)
            .constant("SELF", spec.self_score.is_some())
            .constant("SAME_BUCKET", spec.same_bucket)
            .constant("DEDUPLICATED", spec.is_deduplicated);
        let shader = walk::score_constants()
            .into_iter()
            .fold(shader, |shader, (name, value)| shader.constant(name, value));
        walk::tiled(shader, tile)
    }
}

/// Finds what the passes know of each row of the output.
fn find_statistics(
    op: &IndexedBackward,
    dims: &Dims,
    dtype: DType,
    found: Operand,
    caps: &Caps,
) -> Result<Dispatch> {
    let time = op.forward.spec.result_time(dims);
    let lanes = walk::pack_lanes(dims.value_size);
    let sources = [wgsl!("attention/blocked/backward/statistics.wgsl"), wgsl!("attention/softmax.wgsl")];
    let kernel = Kernel::new("attention/indexed_backward/statistics", sources)
        .read_if("d_lse", op.d_lse.then_some(Operand::Input(backward::REQUIRED)), DType::F32)
        .lanes(lanes)
        .read("out", Operand::Input(4), dtype)
        .read("d_out", Operand::Input(6), dtype)
        .read_elements("statistics", Operand::Input(5), DType::F32)
        .write_elements("aux_buffer", found, DType::U32)
        .constant("GROUP", 1)
        .constant("PACK", lanes)
        .constant("ROW_PACKS", dims.value_size as u32 / lanes)
        .turns(dims.value_size as u64 * 3)
        .params(StatisticsParams {
            start: 0,
            query_time: to_u32(backward::NAME, "out", time)?,
            kv_heads: to_u32(backward::NAME, "heads", dims.heads)?,
        });
    let kernel = walk::score_constants()
        .into_iter()
        .fold(kernel, |kernel, (name, value)| kernel.constant(name, value));
    Ok(kernel.per_element(to_u32(backward::NAME, "rows", dims.batch * dims.heads * time)?, caps))
}
