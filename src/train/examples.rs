//! The order that examples are trained in.

use crate::Random;

/// Batches of one size of `count` examples, in an order of its own for each epoch: a pure function of the seed and the batch's number.
#[derive(Clone, Debug)]
pub struct Epochs {
    count: usize,
    batch: usize,
    seed: u64,
    /// The group of each example, where they have some.
    groups: Vec<usize>,
    /// Whether every epoch has the examples as they are.
    in_order: bool,
    /// The epoch asked for last, and its order.
    order: Option<(u64, Vec<usize>)>,
}

/// Batches that are drawn together before their examples are sorted by group.
const DRAWN: usize = 64;

impl Epochs {
    /// Batches of `batch` of `count` examples, or of all where there are fewer; at least 1 of both.
    pub fn new(count: usize, batch: usize, seed: u64) -> Self {
        let count = count.max(1);
        Self { count, batch: batch.clamp(1, count), seed, groups: Vec::new(), in_order: false, order: None }
    }

    /// Batches of `batch` of `count` examples, as [`Epochs::new`] has them, in the same order in every epoch: pieces of streams, each of which
    /// goes on where the one `batch` examples before it ends.
    pub fn in_order(count: usize, batch: usize) -> Self {
        Self { in_order: true, ..Self::new(count, batch, 0) }
    }

    /// Batches whose examples are mostly of one group each, such as texts of about one length; `groups` has that of every example. Which
    /// examples of a group meet, and which batch follows which, stays random.
    #[must_use]
    pub fn grouped(self, groups: Vec<usize>) -> Self {
        Self { groups, order: None, ..self }
    }

    /// Examples of a batch.
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> u64 {
        self.count.div_ceil(self.batch) as u64
    }

    /// Numbers of the examples of batch `number`, counted through all epochs. The last batch of an epoch is filled up with the first examples
    /// of its order.
    pub fn batch(&mut self, number: u64) -> Vec<usize> {
        let (epoch, within) = (number / self.batches(), (number % self.batches()) as usize);
        if self.order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.order = Some((epoch, self.order_of(epoch)));
        }
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| order);
        order.iter().cycle().skip(within * self.batch).take(self.batch).copied().collect()
    }

    fn order_of(&self, epoch: u64) -> Vec<usize> {
        if self.in_order {
            return (0..self.count).collect();
        }
        let mut order = shuffled(self.count, self.seed, epoch);
        if self.groups.is_empty() {
            return order;
        }
        for drawn in order.chunks_mut(DRAWN * self.batch) {
            drawn.sort_by_key(|&example| self.groups.get(example));
        }
        let whole = self.count / self.batch;
        // Another stream than that of the examples.
        let batches = shuffled(whole, !self.seed, epoch);
        let batches = batches.into_iter().flat_map(|batch| &order[batch * self.batch..][..self.batch]);
        batches.chain(&order[whole * self.batch..]).copied().collect()
    }
}

/// Which of `count` examples are for training and which are kept for validation: `share` of them, at least one of each where there are two,
/// drawn with `seed`, both in ascending order.
pub fn split(count: usize, share: f64, seed: u64) -> [Vec<usize>; 2] {
    // An order that is no epoch's.
    let mut order = shuffled(count, seed, u64::MAX);
    let most = count.saturating_sub(1);
    let kept = ((share * count as f64).round() as usize).max(1).min(most);
    let mut validation = order.split_off(count - kept);
    order.sort_unstable();
    validation.sort_unstable();
    [order, validation]
}

/// The stream of random numbers for example `number` of an `epoch`.
pub fn random_of(seed: u64, epoch: u64, number: u64) -> Random {
    // Neighbouring numbers must not give neighbouring streams, so each draw makes the seed of the next.
    [epoch, number].iter().fold(Random::new(seed), |mut random, part| Random::new(random.next_u64() ^ part))
}

fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = random_of(seed, epoch, u64::MAX);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.next_below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_every_example_and_each_another_order() {
        let mut epochs = Epochs::new(10, 4, 3);
        assert_eq!((epochs.batches(), epochs.batch_size()), (3, 4));
        let mut of =
            |epoch: u64| -> Vec<usize> { (0..3).flat_map(|i| epochs.batch(3 * epoch + i)).collect() };
        let (first, second) = (of(0), of(1));
        assert_ne!(first, second);
        assert_eq!(first, of(0));
        for order in [first, second] {
            assert_eq!(order[10..], order[..2]);
            let mut sorted = order[..10].to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(Epochs::new(2, 16, 0).batch(0).len(), 2);
        let mut streams = Epochs::in_order(6, 2);
        assert_eq!([1, 2, 3].map(|number| streams.batch(number)), [[2, 3], [4, 5], [0, 1]]);
    }

    #[test]
    fn batches_of_groups_hold_one_group_where_they_can() {
        let groups: Vec<usize> = (0..42).map(|example| example % 2).collect();
        let mut epochs = Epochs::new(42, 4, 3).grouped(groups);
        let batches: Vec<Vec<usize>> = (0..11).map(|number| epochs.batch(number)).collect();
        let mixed = |batch: &&Vec<usize>| batch.iter().any(|example| example % 2 != batch[0] % 2);
        assert!(batches[..10].iter().filter(mixed).count() <= 1, "{batches:?}");
        let kinds: Vec<usize> = batches.iter().map(|batch| batch[0] % 2).collect();
        assert!(!kinds.is_sorted() && !kinds.is_sorted_by(|a, b| a >= b), "{kinds:?}");
        let mut all = batches.concat();
        all.truncate(42);
        all.sort_unstable();
        assert_eq!(all, (0..42).collect::<Vec<_>>());
    }

    #[test]
    fn a_split_leaves_no_part_empty() {
        for (count, share, kept) in [(10, 0.1, 1), (10, 0.25, 3), (3, 0.01, 1), (2, 0.9, 1), (1, 0.5, 0)] {
            let [training, validation] = split(count, share, 5);
            assert_eq!((training.len(), validation.len()), (count - kept, kept));
            let mut all = [training, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
        assert_ne!(split(100, 0.1, 1), split(100, 0.1, 2));
    }
}
