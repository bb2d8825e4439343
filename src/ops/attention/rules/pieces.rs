//! Masks whose keys lie scattered, as pieces that are dense once positions are put in another order.

use super::Rule;
use super::mask::{Band, Dilated, Node};
use crate::ops::attention::Dims;

/// Pairs of a mask that no other piece of it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::attention) enum Piece {
    /// Keys a multiple of `period` before the query, at distances from `nearest` to `farthest`; behind it, below 0.
    Residues { period: usize, nearest: i64, farthest: i64 },
    /// Keys of the query's own block of `size`, up to itself.
    OwnBlock { size: usize },
    /// The last `count` keys of each block of `size` before the query's own.
    LastOfBlocks { size: usize, count: usize },
}

/// Distances of keys before a query, the same for all queries: those below `local`, then `local - 1` and a power of two, anew every `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops::attention) struct KeyDistances {
    pub(in crate::ops::attention) local: usize,
    /// Distances of a period.
    pub(in crate::ops::attention) per_period: usize,
    pub(in crate::ops::attention) period: usize,
    /// Distances in all, the last periods' behind the first key included.
    pub(in crate::ops::attention) count: usize,
}

/// Keys of a query that are worth gathering one by one.
const MOST_FEW: usize = 32;

/// Fewer members of a residue class than this are no dense tile.
const FEWEST_MEMBERS: usize = 4;

impl Rule {
    /// Whether the mask has no tensors and changes no scores, for as many queries as keys and heads of keys.
    fn is_plain(&self, dims: &Dims) -> bool {
        self.terms.is_empty()
            && self.tensors == 0
            && self.query_start.is_none()
            && self.softcap.is_none()
            && dims.key_time == dims.query_time
            && dims.heads == dims.kv_heads
            && dims.query_time > 0
    }

    /// The keys of a LogSparse mask with nothing beside it, where they are few.
    pub(in crate::ops::attention) fn few_distances(&self, dims: &Dims) -> Option<KeyDistances> {
        let &Node::LogSparse { spec, .. } = &self.mask.0 else { return None };
        let time = dims.query_time;
        let (local, period) = (spec.local as usize, spec.restart.map_or(time, |restart| restart as usize));
        let period = period.min(time);
        // Powers of two from 1 on that stay within the period.
        let powers = period.saturating_sub(local).checked_ilog2().map_or(0, |power| power as usize + 1);
        let per_period = local.min(period) + powers;
        let count = per_period.saturating_mul(time.div_ceil(period));
        let is_few = self.is_plain(dims) && count <= MOST_FEW && 4 * count <= time;
        is_few.then_some(KeyDistances { local, per_period, period, count })
    }

    /// The pieces of a mask that is dilated, strided or fixed, where scores are changed by nothing else. Every query and every key is part of
    /// the first.
    pub(in crate::ops::attention) fn pieces(&self, dims: &Dims) -> Option<Vec<Piece>> {
        let time = dims.query_time;
        if !self.is_plain(dims) {
            return None;
        }
        let (limits, rest) = limited(&self.mask.0, time as i64)?;
        let mut pieces = match rest {
            Node::Dilated(dilated) => vec![residues(dilated, limits)?],
            Node::Any(parts) => match &parts[..] {
                [Node::Band(band), Node::Dilated(dilated)] => strided(*band, dilated, limits)?,
                &[Node::SameBlock { size, .. }, Node::Columns { period, from }]
                    if size == period && limits == [0, time as i64] && (size as usize) < time =>
                {
                    let [size, count] = [size, size.saturating_sub(from)].map(|number| number as usize);
                    vec![Piece::OwnBlock { size }, Piece::LastOfBlocks { size, count }]
                }
                _ => return None,
            },
            _ => return None,
        };
        pieces.retain(|piece| match *piece {
            Piece::Residues { nearest, farthest, .. } => nearest <= farthest && nearest < time as i64,
            Piece::OwnBlock { .. } => true,
            Piece::LastOfBlocks { count, .. } => count > 0,
        });
        let is_dense = |piece: &Piece| match *piece {
            Piece::Residues { period, .. } => period * FEWEST_MEMBERS <= time,
            Piece::OwnBlock { size } | Piece::LastOfBlocks { size, .. } => size > 1,
        };
        let shows_itself = |piece: &Piece| match *piece {
            Piece::Residues { nearest, farthest, .. } => (nearest..=farthest).contains(&0),
            _ => true,
        };
        let all = pieces.iter().all(is_dense) && pieces.first().is_some_and(shows_itself);
        all.then_some(pieces)
    }
}

/// The nearest and farthest distance that bands beside a single other node leave, and that node.
fn limited(node: &Node<usize>, time: i64) -> Option<([i64; 2], &Node<usize>)> {
    let Node::All(parts) = node else { return Some(([-time, time], node)) };
    let (mut limits, mut rest) = ([-time, time], None);
    for part in parts {
        match part {
            &Node::Band(band) => limits = within(limits, bounds(band.left, band.right, 1)),
            other if rest.is_none() => rest = Some(other),
            _ => return None,
        }
    }
    Some((limits, rest?))
}

/// Distances from that many steps behind the query to that many before it.
fn bounds(left: Option<u32>, right: Option<u32>, step: i64) -> [Option<i64>; 2] {
    let far = |steps: Option<u32>| steps.map(|steps| i64::from(steps).saturating_mul(step));
    [far(right).map(|right| -right), far(left)]
}

fn within([nearest, farthest]: [i64; 2], bounds: [Option<i64>; 2]) -> [i64; 2] {
    [nearest.max(bounds[0].unwrap_or(nearest)), farthest.min(bounds[1].unwrap_or(farthest))]
}

fn residues(dilated: &Dilated, limits: [i64; 2]) -> Option<Piece> {
    let &[period] = &dilated.dilation[..] else { return None };
    let [nearest, farthest] = within(limits, bounds(dilated.left, dilated.right, period.into()));
    (period > 1).then_some(Piece::Residues { period: period as usize, nearest, farthest })
}

/// A band, and of the other keys those of a dilated mask farther on.
fn strided(band: Band, dilated: &Dilated, limits: [i64; 2]) -> Option<Vec<Piece>> {
    let [near, far] = within(limits, bounds(band.left, band.right, 1));
    let Piece::Residues { period, nearest, farthest } = residues(dilated, limits)? else { return None };
    let local = Piece::Residues { period: 1, nearest: near, farthest: far };
    let beyond = Piece::Residues { period, nearest: far + 1, farthest };
    (near <= nearest && near <= far).then_some(vec![local, beyond])
}

#[cfg(test)]
mod tests {
    use super::super::{LogSparse, Mask, Rule};
    use super::*;
    use crate::tensor::TensorDesc;

    fn pieces(mask: Mask<usize>, time: usize) -> Option<Vec<Piece>> {
        let rule = Rule { mask, terms: Vec::new(), query_start: None, scale: 1.0, softcap: None, tensors: 0 };
        let rows = TensorDesc::f32([1, time, 2, 8]);
        rule.pieces(&Dims::of(&rows, &rows, &rows))
    }

    /// Whether the pieces of a mask have exactly its pairs, each once.
    fn assert_same_pairs(mask: Mask<usize>, time: usize, sees: impl Fn(usize, usize) -> bool) {
        let pieces = pieces(mask, time).expect("pieces");
        for query in 0..time {
            for key in 0..time {
                let apart = query as i64 - key as i64;
                let has = |piece: &&Piece| match **piece {
                    Piece::Residues { period, nearest, farthest } => {
                        apart % period as i64 == 0 && (nearest..=farthest).contains(&apart)
                    }
                    Piece::OwnBlock { size } => query / size == key / size && apart >= 0,
                    Piece::LastOfBlocks { size, count } => {
                        key / size < query / size && key % size >= size - count
                    }
                };
                let count = pieces.iter().filter(has).count();
                assert_eq!(count, usize::from(sees(query, key)), "{pieces:?}: {query}, {key}");
            }
        }
    }

    #[test]
    fn pieces_have_each_pair_of_their_mask_once() {
        assert_same_pairs(Mask::strided(5), 43, |i, j| j <= i && (i - j < 5 || (i - j) % 5 == 0));
        assert_same_pairs(Mask::dilated_window(3, [4]), 43, |i, j| {
            i.abs_diff(j) % 4 == 0 && i.abs_diff(j) <= 12
        });
        assert_same_pairs(Mask::dilated_window(3, [4]) & Mask::causal(), 43, |i, j| {
            j <= i && (i - j) % 4 == 0 && i - j <= 12
        });
        assert_same_pairs(Mask::fixed(6, 2), 43, |i, j| j <= i && (i / 6 == j / 6 || j % 6 >= 4));
        assert_same_pairs(Mask::strided(5) & Mask::window(11, 0), 43, |i, j| {
            j <= i && i - j <= 11 && (i - j < 5 || (i - j) % 5 == 0)
        });
    }

    #[test]
    fn distances_are_those_that_a_log_sparse_mask_shows() {
        for (local, restart, time) in
            [(1, None, 200), (5, None, 100), (3, Some(40), 100), (1, Some(7), 29), (30, Some(9), 200)]
        {
            let spec = LogSparse { local, restart };
            let rule = Rule {
                mask: Mask::log_sparse(spec),
                terms: Vec::new(),
                query_start: None,
                scale: 1.0,
                softcap: None,
                tensors: 0,
            };
            let rows = TensorDesc::f32([1, time, 2, 8]);
            let found = rule.few_distances(&Dims::of(&rows, &rows, &rows));
            let seen: Vec<usize> = (0..time).filter(|&distance| spec.sees(distance as i64)).collect();
            let Some(KeyDistances { local, per_period, period, count }) = found else {
                assert!(4 * seen.len() > time || seen.len() > MOST_FEW, "{spec:?}");
                continue;
            };
            let distance = |number: usize| {
                let within = number % per_period;
                let grown = local - 1 + (1 << (within.max(local) - local));
                number / per_period * period + if within < local { within } else { grown }
            };
            let found: Vec<usize> = (0..count).map(distance).filter(|&distance| distance < time).collect();
            assert_eq!(found, seen, "{spec:?}");
        }
    }

    #[test]
    fn other_masks_have_none() {
        let causal_only: Mask<usize> = Mask::causal();
        for mask in [
            causal_only,
            Mask::window(3, 3),
            Mask::strided(5) & Mask::prefix(3),
            Mask::strided(5) | Mask::prefix(3),
            Mask::dilated_window(3, [2, 4]),
            !Mask::strided(5),
            Mask::strided(20),
            Mask::dilated_window(3, [4]) & !Mask::window(0, 0),
        ] {
            assert_eq!(pieces(mask.clone(), 43), None, "{mask:?}");
        }
    }
}
