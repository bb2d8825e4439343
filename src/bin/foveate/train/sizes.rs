//! The sizes that batches of a training have.

/// The sizes that batches have: texts are padded to the next of a few lengths.
pub(super) struct Sizes {
    pub(super) batch: usize,
    /// Ascending.
    pub(super) times: Vec<usize>,
}

/// The least share of the examples that a length is made for: programs take memory.
const LEAST_SHARE: f64 = 0.1;

impl Sizes {
    /// One length, for texts that are filled up to one whatever they are padded to.
    pub(super) fn one(batch: usize, longest: usize) -> Self {
        Self { batch, times: vec![longest] }
    }

    /// A quarter, half, and all of the `longest` length, where enough examples have such `lengths`.
    pub(super) fn of(batch: usize, lengths: &[usize], longest: usize) -> Self {
        let mut times: Vec<usize> = Vec::new();
        for part in [4, 2] {
            let time = longest.div_ceil(part).next_multiple_of(8);
            let above = times.last().copied().unwrap_or(0);
            let fitting = lengths.iter().filter(|length| (above + 1..=time).contains(*length)).count();
            if time < longest && fitting as f64 >= LEAST_SHARE * lengths.len() as f64 {
                times.push(time);
            }
        }
        times.push(longest);
        Self { batch, times }
    }

    /// The length that texts of at most `length` tokens are padded to.
    pub(super) fn time_of(&self, length: usize) -> usize {
        self.times[self.number_of(length)]
    }

    pub(super) fn number_of(&self, length: usize) -> usize {
        self.times.partition_point(|time| *time < length).min(self.times.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_few_and_each_is_worth_its_program() {
        let of = |lengths: &[usize]| Sizes::of(4, lengths, lengths.iter().copied().max().unwrap());
        assert_eq!(of(&[20, 30, 50, 100, 100]).times, [32, 56, 100]);
        // One text in eleven is short.
        let mut lengths = vec![100; 10];
        lengths.push(3);
        assert_eq!(of(&lengths).times, [100]);
        assert_eq!(of(&[5, 6, 7]).times, [7]);
        let sizes = of(&[20, 30, 50, 100, 100]);
        assert_eq!([1, 32, 33, 57, 100].map(|length| sizes.time_of(length)), [32, 32, 56, 100, 100]);
    }
}
