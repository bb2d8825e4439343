//! Which intervals share a buffer: greedy by size, so a slot is never larger than its largest value
//! (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", arXiv 2001.03288, section 4).
//!
//! Each interval takes the first slot that is free for all of it. That slot is found in a binary tree over the slots, so that a hundred
//! thousand values that are all kept for a backward pass do not take the square of their number.

use std::collections::BTreeMap;

use super::liveness::Interval;

/// A slot for every interval, and the size of every slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) slot_of: Vec<usize>,
    pub(super) sizes: Vec<u64>,
}

/// Places `intervals` so that no two that overlap share a slot.
pub(super) fn assign(intervals: &[Interval]) -> Assignment {
    let mut by_size: Vec<usize> = (0..intervals.len()).collect();
    by_size.sort_by_key(|&i| std::cmp::Reverse(intervals[i].bytes));
    let mut slot_of = vec![0; intervals.len()];
    let mut sizes = Vec::new();
    let mut slots = Slots::for_at_most(intervals.len());
    for i in by_size {
        let slot = slots.place(intervals[i]);
        // The first tenant is the largest, because intervals come in order of size.
        if slot == sizes.len() {
            sizes.push(intervals[i].bytes);
        }
        slot_of[i] = slot;
    }
    Assignment { slot_of, sizes }
}

/// A slot of its own for each interval.
#[cfg(feature = "check")]
pub(super) fn one_each(intervals: &[Interval]) -> Assignment {
    Assignment {
        slot_of: (0..intervals.len()).collect(),
        sizes: intervals.iter().map(|interval| interval.bytes).collect(),
    }
}

/// First and last step.
type Steps = (usize, usize);

fn overlap((a, b): Steps, (c, d): Steps) -> Option<Steps> {
    let both = (a.max(c), b.min(d));
    (both.0 <= both.1).then_some(both)
}

/// Slots with their tenants, as the leaves of a tree.
struct Slots {
    /// Of each slot the tenants, first step to last.
    tenants: Vec<BTreeMap<usize, usize>>,
    /// The tree, level by level from its root at 1: of each node, steps during which every slot below it is taken. They need not be all
    /// such steps: an interval that overlaps them finds no place below, one that does not may have to look. A slot that does not exist
    /// yet is always taken.
    taken: Vec<Option<Steps>>,
    leaves: usize,
}

impl Slots {
    fn for_at_most(slots: usize) -> Self {
        let leaves = slots.next_power_of_two();
        Self { tenants: Vec::new(), taken: vec![Some((0, usize::MAX)); 2 * leaves], leaves }
    }

    /// Takes the first slot that is free during `interval`, or a new one.
    fn place(&mut self, interval: Interval) -> usize {
        let steps = (interval.first, interval.last);
        let found = self.first_free(1, steps);
        let slot = found.unwrap_or(self.tenants.len());
        if found.is_none() {
            self.tenants.push(BTreeMap::new());
        }
        self.tenants[slot].insert(interval.first, interval.last);
        // A slot's longest tenant speaks for it.
        let mut node = self.leaves + slot;
        let longest = self.taken[node].filter(|_| found.is_some());
        if longest.is_some_and(|(first, last)| last - first >= steps.1 - steps.0) {
            return slot;
        }
        self.taken[node] = Some(steps);
        while node > 1 {
            node /= 2;
            let both = self.taken[2 * node].zip(self.taken[2 * node + 1]);
            self.taken[node] = both.and_then(|(a, b)| overlap(a, b));
        }
        slot
    }

    /// The first slot below `node` that is free during `steps`, of those that there are.
    fn first_free(&self, node: usize, steps: Steps) -> Option<usize> {
        if self.taken[node].is_some_and(|taken| overlap(taken, steps).is_some()) {
            return None;
        }
        if node < self.leaves {
            return self.first_free(2 * node, steps).or_else(|| self.first_free(2 * node + 1, steps));
        }
        // Tenants do not overlap, so of those that begin before the end, the last is the one that ends last.
        let slot = node - self.leaves;
        let last = self.tenants.get(slot)?.range(..=steps.1).next_back();
        last.is_none_or(|(_, &last)| last < steps.0).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn overlaps(a: &Interval, b: &Interval) -> bool {
        a.first <= b.last && b.first <= a.last
    }

    fn interval() -> impl Strategy<Value = Interval> {
        (1u64..1000, 0usize..40, 0usize..10).prop_map(|(bytes, first, length)| Interval {
            bytes,
            first,
            last: first + length,
        })
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let chain: Vec<Interval> =
            (0..10).map(|step| Interval { bytes: 100, first: step, last: step + 1 }).collect();
        assert_eq!(assign(&chain).sizes, [100, 100]);
    }

    /// The definition: the first slot none of whose tenants overlaps.
    fn first_fit(intervals: &[Interval]) -> Vec<usize> {
        let mut by_size: Vec<usize> = (0..intervals.len()).collect();
        by_size.sort_by_key(|&i| std::cmp::Reverse(intervals[i].bytes));
        let mut slot_of = vec![usize::MAX; intervals.len()];
        for i in by_size {
            let is_free = |slot: &usize| {
                let tenants = intervals.iter().zip(&slot_of).filter(|(_, of)| *of == slot);
                tenants.into_iter().all(|(tenant, _)| !overlaps(tenant, &intervals[i]))
            };
            slot_of[i] = (0..).find(is_free).unwrap();
        }
        slot_of
    }

    /// Values that are kept for a backward pass: the first made is the last read.
    #[test]
    fn nested_intervals_by_the_hundred_thousand_take_seconds() {
        let count = 100_000;
        let kept = |step| Interval { bytes: 64, first: step, last: 2 * count - step };
        let gradient = |step| Interval { bytes: 64, first: count + step, last: count + step + 1 };
        let intervals: Vec<Interval> = (0..count).map(kept).chain((1..count).map(gradient)).collect();
        let start = Instant::now();
        let Assignment { slot_of, sizes } = assign(&intervals);
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        assert_eq!((sizes.len(), slot_of[count + 1]), (count + 1, count - 1));
    }

    proptest! {
        #[test]
        fn the_first_free_slot_is_taken(intervals in prop::collection::vec(interval(), 0..60)) {
            prop_assert_eq!(assign(&intervals).slot_of, first_fit(&intervals));
        }

        #[test]
        fn overlapping_intervals_never_share_and_every_slot_is_large_enough(
            intervals in prop::collection::vec(interval(), 0..60),
        ) {
            let Assignment { slot_of, sizes } = assign(&intervals);
            for (i, a) in intervals.iter().enumerate() {
                prop_assert!(sizes[slot_of[i]] >= a.bytes);
                for (j, b) in intervals.iter().enumerate().skip(i + 1) {
                    prop_assert!(slot_of[i] != slot_of[j] || !overlaps(a, b));
                }
            }
        }

        #[test]
        fn the_slots_hold_at_least_the_peak_and_at_most_everything(
            intervals in prop::collection::vec(interval(), 0..60),
        ) {
            let total: u64 = assign(&intervals).sizes.iter().sum();
            let live = |step: usize| -> u64 {
                intervals.iter().filter(|i| i.first <= step && step <= i.last).map(|i| i.bytes).sum()
            };
            prop_assert!(total >= (0..50).map(live).max().unwrap_or(0));
            prop_assert!(total <= intervals.iter().map(|i| i.bytes).sum());
        }
    }
}
