//! The shaders of walks over the rounds of an order.

use super::walk::Walk;
use super::{Border, Results};
use crate::kernel::{Past, Shader, Source, wgsl};
use crate::ops::attention::blocked::rows::{self, Channels, Rows};
use crate::ops::attention::blocked::walk::{self, Tile};
use crate::tensor::DType;

/// Slots that floats count so well that their quotients are off by 1 at most.
const FEW_SLOTS: usize = 1 << 22;

impl Walk<'_> {
    fn rows(&self) -> Rows {
        Rows { dims: self.dims, dtype: self.dtype, tile: Tile::Registers(self.tile) }
    }

    pub(super) fn forward_shader(&self, out: DType, stores_rounds: bool) -> Shader {
        let own = [wgsl!("attention/indexed/forward.wgsl.j2"), wgsl!("attention/softmax.macros.j2")];
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
    pub(super) fn backward_shader(&self, results: &[(&'static str, DType)]) -> Shader {
        let own = [
            match self.rows_are_keys {
                false => wgsl!("attention/indexed/dq.wgsl.j2"),
                true => wgsl!("attention/indexed/dkv.wgsl.j2"),
            },
            wgsl!("attention/gradients.macros.j2"),
            wgsl!("attention/indexed/gradients.wgsl"),
        ];
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
        let (spec, dims, tile) = (self.spec, &self.dims, self.tile);
        let shared = [
            wgsl!("attention/indexed/slots.wgsl"),
            wgsl!("attention/indexed/sides.wgsl"),
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
            .constant("BANDED", self.rounds.iter().any(|round| round.band.is_some()))
            .constant(
                "FEW_SLOTS",
                self.rounds.iter().all(|round| round.query_slots().max(round.key_slots()) < FEW_SLOTS),
            )
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
