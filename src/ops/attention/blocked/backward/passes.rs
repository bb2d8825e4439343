//! The passes of the backward pass: what owns what is summed, and the files, accessors and loops of each.

use super::super::rows::Channels;
use super::super::turns::{self, Turns, Work};
use super::super::walk::{Tile, Walk};
use super::Outputs;
use crate::kernel::{Past, Source, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::{Rule, Term};

/// What the rows of a pass are, which own what is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Queries; keys are walked over.
    Queries,
    /// Keys; queries are walked over.
    Keys,
    /// Relative keys, one of each distance; queries are walked over.
    Distances,
}

/// One pass: what its rows are, and which gradients it computes, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) rows: Rows,
    /// `dq`, or `dk`, or those of the relative keys.
    pub(super) scores: Option<usize>,
    /// `dv`
    pub(super) values: Option<usize>,
    pub(super) slots: Option<usize>,
    pub(super) pairs: Option<usize>,
}

impl Rows {
    /// What the workgroups of one batch item and key head own together.
    pub(super) fn count(self, walk: &Walk<'_>) -> usize {
        match self {
            Self::Queries => walk.dims.query_time * walk.dims.group(),
            Self::Keys => walk.dims.key_time,
            Self::Distances => {
                walk.rule.relative_keys().map_or(0, |(keys, ..)| walk.tensors[keys].shape.dims()[0])
            }
        }
    }

    /// Whether the sums of these rows take gradients behind softcap, whose derivative is not that of products; and gradients of
    /// weights, before all derivatives of scores.
    pub(super) fn shares(self, rule: &Rule) -> (bool, bool) {
        let custom = rule.customs().next().is_some();
        let takes_added = |term: &Term| match term {
            Term::QueryTable { .. } | Term::KeyTable { .. } => false,
            Term::Bias { by_key, .. } => *by_key == (self == Self::Keys),
            term => self == Self::Queries && term.query_slots() > 0,
        };
        let ramp = |term: &Term| self == Self::Queries && matches!(term, Term::Ramp { .. });
        let added = rule.terms.iter().any(takes_added) && rule.softcap.is_some();
        (added, rule.terms.iter().any(ramp) && custom)
    }
}

impl Pass {
    /// The passes for the gradients that are `wanted`, each with no more results than a shader has `room` for.
    pub(super) fn all(places: &Outputs, wanted: &[bool], room: usize) -> Vec<Self> {
        let wanted = |place: Option<usize>| place.filter(|&place| wanted[place]);
        let queries = Self {
            rows: Rows::Queries,
            scores: wanted(Some(0)),
            values: None,
            slots: wanted(places.query_slots),
            pairs: wanted(places.pairs),
        };
        let keys = Self {
            rows: Rows::Keys,
            scores: wanted(Some(1)),
            values: wanted(Some(2)),
            slots: wanted(places.key_slots),
            pairs: None,
        };
        let distances = Self {
            rows: Rows::Distances,
            scores: wanted(places.relative_keys),
            values: None,
            slots: None,
            pairs: None,
        };
        [queries, keys, distances].into_iter().flat_map(|pass| pass.within(room)).collect()
    }

    fn outputs(self) -> Vec<Self> {
        let none = Self { scores: None, values: None, slots: None, pairs: None, ..self };
        [
            Self { scores: self.scores, ..none },
            Self { values: self.values, ..none },
            Self { slots: self.slots, ..none },
            Self { pairs: self.pairs, ..none },
        ]
        .into_iter()
        .filter(|one| *one != none)
        .collect()
    }

    /// The pass, or passes of one gradient each where a shader has `room` for fewer than it computes. None where nothing is wanted.
    pub(super) fn within(self, room: usize) -> Vec<Self> {
        let outputs = self.outputs();
        match outputs.len() {
            0 => Vec::new(),
            count if count <= room => vec![self],
            _ => outputs,
        }
    }

    /// Its entry, and the files that say what its rows are and what it writes.
    pub(super) fn sources(self, rule: &Rule, tile: Tile, has_lists: bool) -> Vec<Source> {
        let is_relative = rule.relative_keys().is_some();
        let entry = match (tile, self.rows, is_relative) {
            (Tile::Fragments(_), ..) => wgsl!("attention/blocked/backward/cooperative.wgsl.j2"),
            (_, Rows::Queries, false) => wgsl!("attention/blocked/backward/dq.wgsl.j2"),
            (_, Rows::Queries, true) => wgsl!("attention/blocked/backward/dq_relative.wgsl.j2"),
            (_, Rows::Keys, false) => wgsl!("attention/blocked/backward/dkv.wgsl.j2"),
            (_, Rows::Keys, true) => wgsl!("attention/blocked/backward/dkv_relative.wgsl.j2"),
            (_, Rows::Distances, _) => wgsl!("attention/blocked/backward/d_relative.wgsl.j2"),
        };
        let mut sources = vec![entry, wgsl!("attention/blocked/backward/gradients.wgsl")];
        if let Tile::Registers(_) = tile {
            sources.push(wgsl!("attention/gradients.macros.j2"));
        }
        sources.push(match self.rows {
            Rows::Queries => wgsl!("attention/rows_are_queries.wgsl"),
            Rows::Keys => wgsl!("attention/rows_are_keys.wgsl"),
            Rows::Distances => wgsl!("attention/rows_are_distances.wgsl"),
        });
        if self.rows == Rows::Distances {
            sources.push(wgsl!("attention/walk_distances.wgsl"));
        } else if !has_lists {
            sources.push(wgsl!("attention/walk_ranges.wgsl"));
        }
        if self.rows == Rows::Queries && is_relative {
            sources.push(wgsl!("attention/relative_products.wgsl"));
        }
        sources.extend(self.slots.map(|_| match self.rows {
            Rows::Keys => wgsl!("attention/blocked/backward/key_slots.wgsl"),
            _ => wgsl!("attention/blocked/backward/query_slots.wgsl"),
        }));
        sources.extend(self.pairs.map(|_| wgsl!("attention/blocked/backward/pairs.wgsl")));
        sources
    }

    /// The loops of an invocation.
    pub(super) fn turns(self, walk: &Walk<'_>, tile: Tile) -> Turns {
        let Dims { batch, query_time, key_time, head_size, value_size, .. } = walk.dims;
        let rows = tile.rows() as usize;
        let columns = match self.rows {
            Rows::Queries => turns::met(walk.rule, rows.div_ceil(walk.dims.group()), key_time, 1),
            Rows::Keys => turns::met(walk.rule, rows, query_time * walk.dims.group(), walk.dims.group()),
            Rows::Distances => query_time,
        };
        let work = Work {
            head_products: 1,
            value_products: u64::from(self.scores.or(self.slots).or(self.pairs).is_some()),
            sums: u64::from(self.scores.is_some()) + u64::from(self.values.is_some()),
            channels: head_size.max(value_size),
            slots: self.slots.is_some(),
        };
        let turns = Turns::of(walk, columns, tile, work);
        if self.rows == Rows::Distances { turns.times(batch as u64) } else { turns }
    }

    /// The functions that read the upstream gradient and write results, in f32 where these are partial.
    pub(super) fn accessors(self, walk: &Walk<'_>, tile: Tile) -> Vec<String> {
        let rows = walk.rows(tile);
        // Zeros behind the last channel take what is read there of values out of products.
        let mut accessors = vec![rows.read("d_out", 4, Channels::Value, Past::Zero)];
        let scores = if self.rows == Rows::Queries { "dq" } else { "dk" };
        accessors.extend(self.scores.map(|_| rows.write(scores, 9, Channels::Head, Some("KeySum"))));
        accessors.extend(self.values.map(|_| rows.write("dv", 10, Channels::Value, Some("ValueSum"))));
        accessors
    }

    /// What it writes, and which outputs of the step that are.
    pub(super) fn results(self) -> impl Iterator<Item = (&'static str, usize)> {
        let scores = if self.rows == Rows::Queries { "dq" } else { "dk" };
        [(scores, self.scores), ("dv", self.values), ("slots", self.slots), ("d_pairs", self.pairs)]
            .into_iter()
            .filter_map(|(name, place)| place.map(|place| (name, place)))
    }
}
