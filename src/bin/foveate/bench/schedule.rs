//! Which lengths to run: those asked for, or doubling ones as long as the next is estimated to fit in the budget.

use std::time::{Duration, Instant};

use super::methods::Method;
use super::patterns::Extent;
use super::verify::Deadline;
use crate::measure::planned_runs;

/// What a row took, for estimating the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) method: &'static Method,
    pub(super) heads: usize,
    /// Whether a run asks about every pair, as the CPU reference does, whatever the method computes.
    pub(super) asks_all: bool,
    /// One run, as timed.
    pub(super) run: Duration,
    /// How many runs were timed.
    pub(super) runs: u32,
    /// Everything for this row, the runs included, but not the short call that is verified once for all lengths.
    pub(super) total: Duration,
    /// That short call.
    pub(super) prefix: Duration,
}

impl Spent {
    /// The same row for `to` tokens instead of `from`: runs grow with the work, verification with the keys.
    fn at(&self, from: usize, to: usize, repeats: Option<u32>) -> Duration {
        let run = self.run.mul_f64(self.work(to) / self.work(from));
        // One run comes before the timed ones.
        let rest = self.total.saturating_sub(self.run * (self.runs + 1));
        run * (planned_runs(repeats, run) + 1) + rest.mul_f64(to as f64 / from as f64)
    }

    /// What a run for `time` tokens is proportional to.
    fn work(&self, time: usize) -> f64 {
        if self.asks_all {
            return (time as f64).powi(2);
        }
        self.method.work(Extent { time, heads: self.heads })
    }
}

/// The lengths of one run of the benchmark.
#[derive(Debug)]
pub(super) enum Schedule {
    /// Exactly these: those of `--lengths`.
    Given(std::vec::IntoIter<u32>),
    /// Doubling ones until `end`.
    Doubling { next: Option<usize>, end: Instant, repeats: Option<u32> },
}

impl Schedule {
    /// The next length to run.
    pub(super) fn next(&mut self) -> Option<usize> {
        match self {
            Self::Given(lengths) => lengths.next().map(|time| time as usize),
            Self::Doubling { next, .. } => next.take(),
        }
    }

    /// Whether a row of `method` for `time` tokens may begin: whatever was asked for, and else what is estimated to end in time. `before` are the
    /// rows of the length before, with that length, and `now` those of this one.
    pub(super) fn has_time_for(
        &self,
        method: &Method,
        time: usize,
        (length, before): (usize, &[Spent]),
        now: &[Spent],
    ) -> bool {
        let Self::Doubling { end, repeats, .. } = self else { return true };
        let own = before.iter().find(|spent| spent.method.name == method.name);
        let estimate = match own {
            Some(spent) => spent.at(length, time, *repeats),
            // Nothing is known of it but that it is a row, too.
            None => now.iter().map(|spent| spent.total + spent.prefix).max().unwrap_or_default(),
        };
        // One row there is, whatever the budget.
        (before.is_empty() && now.is_empty()) || Instant::now() + estimate <= *end
    }

    /// When a row that has begun is left; never where it was asked for, and where it is the first.
    pub(super) fn deadline(&self, before: &[Spent], now: &[Spent]) -> Deadline {
        match self {
            Self::Doubling { end, .. } if !(before.is_empty() && now.is_empty()) => Deadline(Some(*end)),
            _ => Deadline(None),
        }
    }

    /// Takes note of what the rows of `time` tokens took; none are left when no method could be measured.
    pub(super) fn record(&mut self, time: usize, spent: &[Spent]) {
        let Self::Doubling { next, end, repeats } = self else { return };
        let doubled = time.saturating_mul(2);
        let estimate: Duration = spent.iter().map(|row| row.at(time, doubled, *repeats)).sum();
        let left = end.saturating_duration_since(Instant::now());
        *next = (!spent.is_empty() && estimate <= left).then_some(doubled);
    }
}

#[cfg(test)]
mod tests {
    use super::super::methods::METHODS;
    use super::*;

    fn doubling(left: Duration) -> Schedule {
        Schedule::Doubling { next: Some(512), end: Instant::now() + left, repeats: Some(3) }
    }

    #[test]
    fn the_estimate_grows_with_the_work_of_the_method() {
        let second = Duration::from_secs(1);
        let spent = Spent {
            method: &METHODS[0],
            heads: 2,
            asks_all: false,
            run: second,
            runs: 3,
            total: second * 6,
            prefix: second,
        };
        // Four runs of four seconds, and two seconds of verification twice over.
        assert_eq!(spent.at(512, 1024, Some(3)), second * 20);
        // Keys of a window do not grow with the tokens but at its ends, and the reference asks about all.
        let window =
            Spent { method: METHODS.iter().find(|method| method.name == "blocked-window").unwrap(), ..spent };
        let estimate = window.at(4096, 8192, Some(3));
        assert!((second * 12..second * 13).contains(&estimate), "{estimate:?}");
        assert_eq!(Spent { asks_all: true, ..window }.at(4096, 8192, Some(3)), second * 20);
        for (left, expected) in [(15, None), (25, Some(1024))] {
            let mut schedule = doubling(second * left);
            assert_eq!(schedule.next(), Some(512));
            schedule.record(512, &[spent]);
            assert_eq!(schedule.next(), expected);
        }
    }

    #[test]
    fn a_row_that_would_end_too_late_does_not_begin() {
        let second = Duration::from_secs(1);
        let row = |method| Spent {
            method,
            heads: 2,
            asks_all: true,
            run: second,
            runs: 3,
            total: second * 5,
            prefix: second,
        };
        let (known, new) = (row(&METHODS[0]), &METHODS[1]);
        for (left, expected) in [(3, [true, false, false]), (8, [true, true, false]), (30, [true; 3])] {
            let schedule = doubling(second * left);
            let first = schedule.has_time_for(new, 512, (0, &[]), &[]);
            let same = schedule.has_time_for(new, 512, (0, &[]), &[known]);
            let next = schedule.has_time_for(known.method, 1024, (512, &[known]), &[]);
            assert_eq!([first, same, next], expected, "{left} s left");
        }
        assert!(Schedule::Given(vec![7].into_iter()).has_time_for(new, 7, (0, &[]), &[known]));
    }

    #[test]
    fn nothing_measured_ends_the_doubling_but_not_what_was_asked_for() {
        let mut schedule = doubling(Duration::from_secs(60));
        schedule.next();
        schedule.record(512, &[]);
        assert_eq!(schedule.next(), None);
        let mut schedule = Schedule::Given(vec![7, 5].into_iter());
        assert_eq!(schedule.next(), Some(7));
        schedule.record(7, &[]);
        assert_eq!(schedule.next(), Some(5));
        assert_eq!(schedule.next(), None);
    }
}
