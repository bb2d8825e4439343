//! The prefixes that a search follows, by number, and the symbols of their alignments.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Piece;

/// The prefixes that are followed, and all shorter ones that they begin with. The empty one is number 0.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// By the number of the one before and the symbol.
    numbers: HashMap<(usize, u32), usize>,
    /// The one before each, and the symbol.
    before: HashMap<usize, (usize, u32)>,
    next: usize,
    /// How many were left when others were last dropped.
    kept: usize,
}

impl Prefixes {
    /// How many may be kept for each one that was left, or is followed, before those are dropped that nothing followed goes on from.
    const SLACK: usize = 4;

    /// The number of the one with one more symbol, if it has one.
    pub(super) fn known(&self, prefix: usize, symbol: u32) -> Option<usize> {
        self.numbers.get(&(prefix, symbol)).copied()
    }

    pub(super) fn longer(&mut self, prefix: usize, symbol: u32) -> usize {
        *self.numbers.entry((prefix, symbol)).or_insert_with(|| {
            self.next += 1;
            self.before.insert(self.next, (prefix, symbol));
            self.next
        })
    }

    /// Drops what no prefix in `followed` begins with, once there are [`Self::SLACK`] times as many as were kept last time.
    pub(super) fn prune(&mut self, followed: impl ExactSizeIterator<Item = usize>) {
        if self.before.len() <= self.kept.max(followed.len()).saturating_mul(Self::SLACK) {
            return;
        }
        let mut needed = HashSet::new();
        for mut prefix in followed {
            while prefix != 0 && needed.insert(prefix) {
                prefix = self.before.get(&prefix).map_or(0, |&(before, _)| before);
            }
        }
        self.before.retain(|number, _| needed.contains(number));
        self.numbers.retain(|_, number| needed.contains(number));
        self.kept = needed.len();
    }
}

#[cfg(test)]
impl Prefixes {
    /// Those of a search that drops none.
    pub(super) fn all() -> Self {
        Self { kept: usize::MAX, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.before.len()
    }

    /// As many as may be kept of texts of `length` symbols by `width` beams.
    pub(super) fn most(length: usize, width: usize) -> usize {
        Self::SLACK * (length + 2 * width)
    }
}

/// The symbols of an alignment with their frames, the last one first; alignments share what they have in common.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) piece: Piece,
    pub(super) before: Pieces,
}

pub(super) type Pieces = Option<Rc<Link>>;

impl Drop for Link {
    /// One after the other: as many calls inside one another as a recording has symbols would be too many.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut link) = before.and_then(Rc::into_inner) {
            before = link.before.take();
        }
    }
}

/// The symbols of an alignment in their order.
pub(super) fn in_order(last: &Pieces) -> Vec<Piece> {
    let links = std::iter::successors(last.as_deref(), |link| link.before.as_deref());
    let mut pieces: Vec<Piece> = links.map(|link| link.piece.clone()).collect();
    pieces.reverse();
    pieces
}
