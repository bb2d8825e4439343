//! Which intervals share a buffer: greedy by size, so a slot is never larger than its largest value
//! (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", arXiv 2001.03288, section 4).

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
    let mut tenants: Vec<Vec<usize>> = Vec::new();
    for i in by_size {
        let free =
            tenants.iter().position(|slot| slot.iter().all(|&j| !intervals[i].overlaps(&intervals[j])));
        let slot = free.unwrap_or_else(|| {
            tenants.push(Vec::new());
            tenants.len() - 1
        });
        tenants[slot].push(i);
        slot_of[i] = slot;
    }
    // The first tenant is the largest, because intervals come in order of size.
    let sizes = tenants.iter().map(|slot| intervals[slot[0]].bytes).collect();
    Assignment { slot_of, sizes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    proptest! {
        #[test]
        fn overlapping_intervals_never_share_and_every_slot_is_large_enough(
            intervals in prop::collection::vec(interval(), 0..60),
        ) {
            let Assignment { slot_of, sizes } = assign(&intervals);
            for (i, a) in intervals.iter().enumerate() {
                prop_assert!(sizes[slot_of[i]] >= a.bytes);
                for (j, b) in intervals.iter().enumerate().skip(i + 1) {
                    prop_assert!(slot_of[i] != slot_of[j] || !a.overlaps(b));
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
