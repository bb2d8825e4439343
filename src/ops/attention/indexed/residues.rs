//! Blocked attention whose mask shows keys that lie scattered: dilated, strided and fixed masks. Put in the order of their residue classes, or of
//! what blocks have in common, these keys are dense tiles. Index maps say where rows lie; a dispatch makes them, the same for all heads.
//!
//! A piece of the mask ([`Piece`]) is a round of [`super`]; each pair is in one of them. Query, key and value are read where they lie.

use super::kernels::{Problem, choice};
use super::tiles;
use super::walk::{Line, Round};
use super::{Border, Chunked, Results};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{AttentionTile, Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::{self, Attended, walk::Tile};
use crate::ops::attention::rules::{Piece, Rule};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

const NAME: &str = "attention/residues";

params! {
    /// The position in slot `s` is `(s / run) * by_run + (s % run) * step + start`, behind `time` none.
    struct MapParams {
        first: u32,
        run: u32,
        by_run: u32,
        step: u32,
        start: u32,
        time: u32,
    }
}

/// Which positions the slots of a round hold.
#[derive(Clone, Copy, Debug)]
struct Map {
    slots: usize,
    run: usize,
    by_run: usize,
    step: usize,
    start: usize,
}

impl Map {
    /// Positions as they are.
    fn whole(slots: usize) -> Self {
        Self { slots, run: slots, by_run: 0, step: 1, start: 0 }
    }
}

/// The rounds of a problem, and the index that they read.
#[derive(Clone, Debug)]
struct Order {
    rounds: Vec<Round>,
    maps: Vec<Map>,
}

impl Order {
    /// Of `pieces` over `time` positions, whose chunks are of `rows` where nothing says otherwise.
    fn of(pieces: &[Piece], time: usize, rows: usize) -> Self {
        let mut order = Self { rounds: Vec::new(), maps: Vec::new() };
        for piece in pieces {
            match *piece {
                Piece::Residues { period, nearest, farthest } => {
                    order.add_residues([time, period], [nearest, farthest], rows);
                }
                Piece::OwnBlock { size } => order.add_own_blocks([time, size]),
                Piece::LastOfBlocks { size, count } => order.add_last_of_blocks([time, size], count),
            }
        }
        order
    }

    /// A chunk of `[queries, keys]`, which sees itself alone, and whose entries begin behind all others.
    fn plain([query_chunk, key_chunk]: [usize; 2], at: usize) -> Round {
        Round {
            number: 0,
            of: 1,
            queries_from: at,
            keys_from: at,
            query_chunk,
            key_chunk,
            chunks: 1,
            group: 1,
            before: 0,
            after: 0,
            band: None,
        }
    }

    /// Keys a multiple of `period` from the query: classes one behind the other, each a whole number of chunks.
    fn add_residues(&mut self, [time, period]: [usize; 2], band: [i64; 2], rows: usize) {
        let members = time.div_ceil(period);
        let chunk = rows.min(members);
        let group = members.div_ceil(chunk);
        // Positions of a chunk and the next of its class.
        let apart = (period * chunk) as u64;
        let chunks_within = |distance: i64| (distance.max(0) as u64).div_ceil(apart).min(group as u64) as i64;
        let [nearest, farthest] = band;
        self.rounds.push(Round {
            chunks: group * period,
            group,
            before: chunks_within(farthest),
            after: chunks_within(-nearest),
            band: Some(band),
            ..Self::plain([chunk; 2], self.length())
        });
        let run = group * chunk;
        self.maps.push(Map { slots: run * period, run, by_run: 1, step: period, start: 0 });
    }

    /// Keys of the query's own block of `size`, up to itself.
    fn add_own_blocks(&mut self, [time, size]: [usize; 2]) {
        let chunks = time.div_ceil(size);
        let plain = Self::plain([size; 2], self.length());
        self.rounds.push(Round { chunks, group: chunks, band: Some([0, size as i64]), ..plain });
        self.maps.push(Map::whole(chunks * size));
    }

    /// The last `count` keys of each block of `size` before the query's.
    fn add_last_of_blocks(&mut self, [time, size]: [usize; 2], count: usize) {
        let chunks = time.div_ceil(size);
        let plain = Self::plain([size, count], self.length());
        self.rounds.push(Round {
            keys_from: plain.queries_from + chunks * size,
            chunks,
            group: chunks,
            before: chunks as i64,
            after: -1,
            band: Some([0, time as i64]),
            ..plain
        });
        self.maps.push(Map::whole(chunks * size));
        self.maps.push(Map { slots: chunks * count, run: count, by_run: size, step: 1, start: size - count });
    }

    /// Integers of the index.
    fn length(&self) -> usize {
        self.maps.iter().map(|map| map.slots).sum()
    }

    /// Fills the index.
    fn fill(&self, time: usize, index: Operand, caps: &Caps) -> Result<Vec<Dispatch>> {
        let mut first = 0;
        let mut dispatches = Vec::new();
        for map in &self.maps {
            let number = |number| to_u32(NAME, "index", number);
            let kernel = Kernel::new("attention/residues/index", [wgsl!("attention/indexed/residues.wgsl")])
                .write("entry", index, DType::I32)
                .params(MapParams {
                    first: number(first)?,
                    run: number(map.run)?,
                    by_run: number(map.by_run)?,
                    step: number(map.step)?,
                    start: number(map.start)?,
                    time: number(time)?,
                });
            dispatches.push(kernel.per_element(number(map.slots)?, caps));
            first += map.slots;
        }
        Ok(dispatches)
    }
}

/// What a rule's pieces are lowered with.
struct Plan {
    order: Order,
    spec: Chunked,
    dims: Dims,
    dtype: DType,
    tile: AttentionTile,
}

impl Plan {
    /// None where the mask has no pieces, fragments walk over it, or a driver would end the walks before they are done.
    fn of(rule: &Rule, step: &StepDesc, caps: &Caps) -> Option<Self> {
        let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
        let pieces = rule.pieces(&dims)?;
        if blocked::uses_fragments(rule, &dims, step.inputs[0].dtype, caps) {
            return None;
        }
        let time = dims.query_time;
        let run = |piece: &Piece| match *piece {
            Piece::Residues { period, .. } => time.div_ceil(period),
            Piece::OwnBlock { size } | Piece::LastOfBlocks { size, .. } => size,
        };
        let tile = tiles::forward(&dims, time, pieces.iter().map(run).min().unwrap_or(0), caps);
        let order = Order::of(&pieces, time, Tile::Registers(tile).rows() as usize);
        let spec = Chunked {
            rounds: order.rounds.len(),
            chunks: 0,
            query_chunk: 0,
            key_chunk: 0,
            before: 0,
            after: 0,
            border: Border::Stop,
            is_causal: false,
            shown_from: usize::MAX,
            self_score: None,
            same_bucket: false,
            is_deduplicated: false,
            results: Results::Positions,
            scale: rule.scale as f32,
        };
        let plan = Self { order, spec, dims, dtype: step.inputs[0].dtype, tile };
        let problem = plan.problem(Operand::Scratch(0));
        let fits = [false, true].into_iter().all(|rows_are_keys| {
            let walk = problem.walk(rows_are_keys, tiles::backward(&plan.dims, plan.tile), caps);
            plan.order.rounds.iter().all(|round| walk.turns(round).least_splits(caps) == 1)
        });
        fits.then_some(plan)
    }

    fn problem(&self, index: Operand) -> Problem<'_> {
        Problem {
            op: NAME,
            spec: &self.spec,
            rounds: &self.order.rounds,
            line: Line { length: 0, buckets_from: 0, chunks_from: 0 },
            index,
            result_time: self.dims.query_time,
            dims: self.dims,
            dtype: self.dtype,
            tile: self.tile,
        }
    }

    /// Scratch for the index, the first, and what fills it.
    fn index(&self, caps: &Caps) -> Result<(Vec<u64>, Vec<Dispatch>)> {
        let bytes = (self.order.length() * size_of::<i32>()).max(16) as u64;
        Ok((vec![bytes], self.order.fill(self.dims.query_time, Operand::Scratch(0), caps)?))
    }
}

/// The forward pass of a step of blocked attention, where its mask has pieces.
pub(in crate::ops::attention) fn lower(rule: &Rule, step: &StepDesc, caps: &Caps) -> Result<Option<Lowered>> {
    let Some(plan) = Plan::of(rule, step, caps) else { return Ok(None) };
    let (mut scratch, mut dispatches) = plan.index(caps)?;
    let problem = plan.problem(Operand::Scratch(0));
    let (walks, walked) = problem.forward(step, None, &mut scratch, caps)?;
    dispatches.extend(walks);
    let choice = choice(caps, "", "residue classes", &[walked]);
    Ok(Some(Lowered::Kernels { choice, dispatches, scratch }))
}

/// Its backward pass.
pub(in crate::ops::attention) fn lower_backward(
    rule: &Rule,
    attended: &Attended<Operand>,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Option<Lowered>> {
    let Some(plan) = Plan::of(rule, step, caps) else { return Ok(None) };
    let (mut scratch, mut dispatches) = plan.index(caps)?;
    let problem = plan.problem(Operand::Scratch(0));
    let (walks, walked) = problem.backward(step, attended, &mut scratch, caps)?;
    dispatches.extend(walks);
    let choice = choice(caps, "backward ", "residue classes", &walked);
    Ok(Some(Lowered::Kernels { choice, dispatches, scratch }))
}
