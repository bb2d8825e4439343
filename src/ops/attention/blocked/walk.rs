//! What the forward and the backward kernels share: their tile, their parameters, and the files that say where rows lie and
//! which of them meet.

use super::super::rules::Rule;
use super::super::rules::lower::{AuxBuffer, BlockLists, CompiledRule, SectionParams};
use super::super::{Dims, EMPTY_ROW_LSE, HIDDEN_SCORE, UNLIMITED};
use super::cooperative::FragmentTile;
use super::rows::{self, Channels, Rows};
use crate::kernel::{AttentionTile, Constant, Operand, Params, Past, Shader, Source, Tier, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

params! {
    struct WalkParams {
        sections: SectionParams,
        batch: u32,
        query_time: u32,
        key_time: u32,
        heads: u32,
        kv_heads: u32,
        scale: f32,
        softcap: f32,
        band_left: i32,
        band_right: i32,
        shift: i32,
        splits: u32,
        count: u32,
        row_tiles: u32,
        list_capacity: u32,
        relative_shift: i32,
        relative_count: u32,
        relative_first: i32,
        relative_last: i32,
    }
}

/// What `softmax.wgsl` leaves open: the score of hidden pairs, and the bits of that, in units of log2, from which on a key is hidden.
pub(in crate::ops::attention) fn score_constants() -> [(&'static str, Constant); 2] {
    let hidden = HIDDEN_SCORE * std::f32::consts::LOG2_E;
    [("EMPTY_ROW_LSE", EMPTY_ROW_LSE.into()), ("HIDDEN_SCORE_BITS", hidden.to_bits().into())]
}

/// What a workgroup holds at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) enum Tile {
    Registers(AttentionTile),
    Fragments(FragmentTile),
}

impl Tile {
    pub(in crate::ops::attention) fn rows(self) -> u32 {
        match self {
            Self::Registers(tile) => tile.rows * tile.row_groups,
            Self::Fragments(tile) => tile.rows(),
        }
    }

    pub(in crate::ops::attention) fn columns(self) -> u32 {
        match self {
            Self::Registers(tile) => 4 * tile.key_vectors * tile.lanes,
            Self::Fragments(tile) => tile.columns(),
        }
    }

    pub(in crate::ops::attention) fn tier(self) -> Tier {
        match self {
            Self::Registers(_) => Tier::RegisterTile,
            Self::Fragments(_) => Tier::CooperativeMatrix,
        }
    }

    /// What stands for the factor of a hidden pair where these are left out: the largest number of the factors' type, as weights and their
    /// gradients are not.
    fn left_out(self) -> f32 {
        match self {
            Self::Fragments(tile) if tile.operand() == DType::F16 => half::f16::MAX.to_f32(),
            _ => f32::MAX,
        }
    }

    fn macros(self) -> Vec<Source> {
        match self {
            Self::Registers(_) => {
                vec![wgsl!("attention/tile.macros.j2"), wgsl!("attention/products.macros.j2")]
            }
            Self::Fragments(_) => vec![wgsl!("attention/fragments.macros.j2")],
        }
    }

    /// How it multiplies, in reports.
    pub(in crate::ops::attention) fn name(self) -> String {
        match self {
            Self::Registers(_) => "blocked".into(),
            Self::Fragments(tile) => format!("cooperative {0}x{0}", tile.side()),
        }
    }
}

/// One kernel's walk: over which problem, by which rule.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Walk<'a> {
    pub(in crate::ops::attention) op: &'static str,
    pub(in crate::ops::attention) rule: &'a Rule,
    pub(in crate::ops::attention) dims: Dims,
    pub(in crate::ops::attention) dtype: DType,
    /// The tensors of the rule.
    pub(in crate::ops::attention) tensors: &'a [TensorDesc],
}

pub(in crate::ops::attention) fn check_times(op: &'static str, dims: &Dims) -> Result<()> {
    for (argument, time) in [("query", dims.query_time), ("key", dims.key_time)] {
        if time > UNLIMITED as usize {
            return Err(Error::new(ErrorKind::Limit, op, argument)
                .expecting(format!("a time of at most {UNLIMITED}"))
                .but_found(time));
        }
    }
    Ok(())
}

/// The tile with no more than the `rows` that there are, as rows that do not exist cost as much as those that do; a lane with a
/// single row takes more columns instead.
pub(in crate::ops::attention) fn fitted(tile: AttentionTile, rows: usize) -> AttentionTile {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, tile.rows * tile.row_groups);
    let own = rows.next_power_of_two().min(tile.rows);
    AttentionTile {
        rows: own,
        row_groups: rows.div_ceil(own).next_power_of_two().min(tile.row_groups),
        key_vectors: if own == 1 { 2 * tile.key_vectors } else { tile.key_vectors },
        ..tile
    }
}

/// The tile with as many groups of rows as memory of `bytes` a workgroup has room for.
pub(in crate::ops::attention) fn within(
    mut tile: AttentionTile,
    most_bytes: u32,
    bytes: impl Fn(AttentionTile) -> u32,
) -> AttentionTile {
    while bytes(tile) > most_bytes && tile.row_groups > 1 {
        tile.row_groups /= 2;
    }
    tile
}

/// Bytes of a workgroup's memory for a number of each pair of a tile.
pub(in crate::ops::attention) fn pair_bytes(tile: AttentionTile) -> u32 {
    16 * tile.rows * tile.row_groups * tile.lanes * tile.key_vectors
}

/// Bytes of a workgroup's memory beside numbers of pairs: what `some_invocation_workgroup.wgsl` takes.
pub(in crate::ops::attention) const WORD_BYTES: u32 = 16;

/// Sums of four channels that a lane may keep. Beyond that, compiling takes longer than more rows save.
pub(in crate::ops::attention) const MOST_PACKS: u32 = 128;

/// Tiles of numbers in the ring of `relative_products.wgsl`.
pub(in crate::ops::attention) const RING_TILES: u32 = 2;

impl Walk<'_> {
    /// Parameters of a kernel of `count` workgroups, whose auxiliary buffer is `aux`.
    pub(in crate::ops::attention) fn parameters(
        &self,
        aux: &AuxBuffer<'_>,
        lists: Option<BlockLists>,
        splits: usize,
        count: u32,
    ) -> Result<Params> {
        let Self { rule, dims, .. } = self;
        let to_u32 = |what, count| to_u32(self.op, what, count);
        let bound = |keys: Option<u32>| keys.unwrap_or(UNLIMITED).min(UNLIMITED) as i32;
        let band = rule.ranges().unwrap_or_default().band;
        let clamped = |row: i64| row.clamp(i64::from(i32::MIN / 2), i64::from(i32::MAX / 2)) as i32;
        let relative = rule.relative_keys().map(|(keys, after, alignment)| {
            let count = self.tensors[keys].shape.dims()[0];
            // What the device knows of is added there.
            let shift = if rule.query_start.is_some() { 0 } else { alignment.shift(dims) };
            (clamped(shift.saturating_add(after.into())), count)
        });
        let shown =
            rule.shown_relative_keys(dims).map_or((0, -1), |(first, last)| (clamped(first), clamped(last)));
        Ok(WalkParams {
            sections: aux.section_params(),
            batch: to_u32("batch", dims.batch)?,
            query_time: to_u32("query", dims.query_time)?,
            key_time: to_u32("key", dims.key_time)?,
            heads: to_u32("heads", dims.heads)?,
            kv_heads: to_u32("kv_heads", dims.kv_heads)?,
            scale: rule.scale as f32,
            softcap: rule.softcap.unwrap_or(0.0),
            band_left: bound(band.left),
            band_right: bound(band.right),
            shift: band.alignment.shift(dims) as i32,
            splits: splits as u32,
            count,
            row_tiles: lists.map_or(0, |lists| lists.row_tiles),
            list_capacity: lists.map_or(0, |lists| lists.capacity),
            relative_shift: relative.map_or(0, |(shift, _)| shift),
            relative_count: to_u32("relative_keys", relative.map_or(0, |(_, count)| count))?,
            relative_first: shown.0,
            relative_last: shown.1,
        }
        .into())
    }

    /// A kernel made of its `own` files and those that are the same for every walk over tiles.
    pub(in crate::ops::attention) fn shader(
        &self,
        label: &'static str,
        own: impl IntoIterator<Item = Source>,
        compiled: &CompiledRule,
        aux: &AuxBuffer<'_>,
        lists: Option<BlockLists>,
        tile: Tile,
    ) -> Shader {
        let Self { rule, dims, dtype, .. } = self;
        let shared = [wgsl!("attention/score.wgsl"), wgsl!("attention/softmax.wgsl")];
        let sources: Vec<Source> =
            own.into_iter().chain(shared).chain(tile.macros()).chain(aux.sources()).collect();
        let shader = Shader::new(label, sources)
            .alias("KeyPack", *dtype, pack_lanes(dims.head_size))
            .alias("ValuePack", *dtype, pack_lanes(dims.value_size))
            .constant("HEAD_SIZE", dims.head_size as u32)
            .constant("VALUE_SIZE", dims.value_size as u32)
            .constant("KEY_STRIDE", dims.head_size as u32 / pack_lanes(dims.head_size))
            .constant(
                "QUERY_STRIDE",
                (dims.head_size * rule.query_vectors()) as u32 / pack_lanes(dims.head_size),
            )
            .constant("VALUE_STRIDE", dims.value_size as u32 / pack_lanes(dims.value_size))
            .constant("LEFT_OUT", tile.left_out())
            .constant("GROUP", dims.group() as u32)
            .generated([rows::generated(self.loads(tile))]);
        let shader =
            score_constants().into_iter().fold(shader, |shader, (name, value)| shader.constant(name, value));
        let shader = compiled.equip(shader, rule);
        let shader = self.with_bias(shader);
        lists.map_or(shader.clone(), |lists| lists.equip(shader))
    }

    /// The functions that read rows.
    pub(in crate::ops::attention) fn rows(&self, tile: Tile) -> Rows {
        Rows { dims: self.dims, dtype: self.dtype, tile }
    }

    fn loads(&self, tile: Tile) -> Vec<String> {
        let rows = self.rows(tile);
        let mut loads = vec![
            rows.read("query", 1, Channels::Head, Past::Zero),
            rows.read("key", 2, Channels::Head, Past::Zero),
            rows.read("value", 3, Channels::Value, Past::Last),
        ];
        if self.rule.relative_keys().is_some() {
            loads.push(rows.read("relative_keys", 8, Channels::Head, Past::Zero));
        }
        loads
    }

    /// Says along which axes the bias is repeated.
    fn with_bias(&self, shader: Shader) -> Shader {
        let Some(bias) = self.rule.bias() else { return shader };
        let desc = &self.tensors[bias];
        // An axis that is 1 long, and repeated only once, is no stride either way.
        let axes = ["BIAS_BY_BATCH", "BIAS_BY_HEAD", "BIAS_BY_QUERY", "BIAS_BY_KEY"];
        axes.into_iter()
            .zip(desc.shape.dims())
            .fold(shader.alias("Bias", desc.dtype, 1), |shader, (axis, &extent)| {
                shader.constant(axis, extent > 1)
            })
    }

    /// What every kernel of the rule binds beside query, key and value.
    pub(in crate::ops::attention) fn bindings(&self, aux: &AuxBuffer<'_>) -> Vec<(&'static str, Operand)> {
        let bias = self.rule.bias().map(|tensor| ("bias", aux.input(tensor)));
        let relative = self.rule.relative_keys().map(|(tensor, ..)| ("relative_keys", aux.input(tensor)));
        aux.binding().into_iter().chain(bias).chain(relative).collect()
    }
}

/// `shader` with its lanes and their registers.
pub(in crate::ops::attention) fn tiled(mut shader: Shader, tile: AttentionTile) -> Shader {
    let between_lanes = if tile.one_subgroup {
        [wgsl!("attention/exchange_subgroup.wgsl"), wgsl!("attention/some_invocation_subgroup.wgsl")]
    } else {
        [wgsl!("attention/exchange_workgroup.wgsl"), wgsl!("attention/some_invocation_workgroup.wgsl")]
    };
    shader.sources.extend(between_lanes);
    let shader = shader
        .constant("SHARED_READS", tile.one_subgroup)
        .constant("LANES_X", tile.lanes)
        .constant("LANES_Y", tile.row_groups)
        .constant("ROWS", tile.rows)
        .constant("KEY_VECTORS", tile.key_vectors)
        .constant("RING_TILES", RING_TILES);
    if tile.one_subgroup { shader.subgroups_of(tile.lanes) } else { shader }
}

/// Channels that one load of a row of `size` brings.
pub(in crate::ops::attention) fn pack_lanes(size: usize) -> u32 {
    if size.is_multiple_of(4) { 4 } else { 1 }
}

/// Packs of four channels that each lane owns of a row of `size`.
pub(in crate::ops::attention) fn lane_packs(size: usize, tile: AttentionTile) -> u32 {
    (size.div_ceil(4) as u32).div_ceil(tile.lanes)
}
