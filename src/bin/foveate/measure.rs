//! Timing: repeated runs, medians and quartiles.

use std::time::{Duration, Instant};

use foveate::Result;
use foveate::gpu::{Session, Timing};
use serde::Serialize;

/// The rounds that sessions timed in turn get when the user does not say.
const ROUNDS: u32 = 7;

/// The runs that a row gets when the user does not say: as many as fit in this time, within these bounds.
const ROW_TIME: Duration = Duration::from_millis(500);
const RUNS: std::ops::RangeInclusive<u32> = 3..=20;

/// The middle half of repeated runs, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) median: f64,
    pub(crate) first: f64,
    pub(crate) third: f64,
}

/// The times of repeated runs of one program.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Times {
    /// By the device's own timestamps, where it has them.
    pub(crate) gpu_ms: Option<Quartiles>,
    /// From recording until the device is done.
    pub(crate) wall_ms: Quartiles,
    pub(crate) runs: u32,
}

/// How many runs a program gets that takes `one`.
pub(crate) fn planned_runs(repeats: Option<u32>, one: Duration) -> u32 {
    let fitting = ROW_TIME.as_secs_f64() / one.as_secs_f64().max(1e-9);
    // The cast saturates.
    repeats.unwrap_or((fitting as u32).clamp(*RUNS.start(), *RUNS.end()))
}

/// Times `run`, which has been run before: what is made on first use must not count. After `end`, where there is one, no run begins but the first.
pub(crate) fn times(
    repeats: Option<u32>,
    end: Option<Instant>,
    mut run: impl FnMut() -> Result<Timing>,
) -> Result<Times> {
    let first = run()?;
    let runs = planned_runs(repeats, first.wall);
    let mut timings = vec![first];
    for _ in 1..runs {
        if end.is_some_and(|end| Instant::now() > end) {
            break;
        }
        timings.push(run()?);
    }
    Ok(Times::of(&timings))
}

/// Times several sessions, which have been run before, in turn: what slows the machine down for a while slows all of them
/// down, so that their ratios hold. After `end`, where there is one, no round begins but the first.
pub(crate) fn in_turn<const N: usize>(
    repeats: Option<u32>,
    end: Option<Instant>,
    mut sessions: [&mut Session; N],
) -> Result<[Times; N]> {
    let mut timings = [const { Vec::new() }; N];
    for round in 0..repeats.unwrap_or(ROUNDS) {
        if round > 0 && end.is_some_and(|end| Instant::now() > end) {
            break;
        }
        for (session, timings) in sessions.iter_mut().zip(&mut timings) {
            timings.push(session.run()?);
        }
    }
    Ok(timings.map(|timings| Times::of(&timings)))
}

impl Quartiles {
    /// Linear between neighbours (method 7 of Hyndman and Fan 1996). `times` holds at least one.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let quantile = |q: f64| {
            let position = q * (times.len() - 1) as f64;
            let (below, above) = (times[position.floor() as usize], times[position.ceil() as usize]);
            1e3 * (below.as_secs_f64() + position.fract() * (above - below).as_secs_f64())
        };
        Self { median: quantile(0.5), first: quantile(0.25), third: quantile(0.75) }
    }

    /// The interquartile range as a fraction of the median.
    pub(crate) fn spread(&self) -> f64 {
        (self.third - self.first) / self.median
    }
}

impl Times {
    /// The times of at least one run.
    fn of(timings: &[Timing]) -> Self {
        // A clock that stands still meanwhile is too coarse.
        let gpu: Option<Vec<Duration>> =
            timings.iter().map(|timing| timing.gpu.filter(|gpu| !gpu.is_zero())).collect();
        let wall = timings.iter().map(|timing| timing.wall).collect();
        Self { gpu_ms: gpu.map(Quartiles::of), wall_ms: Quartiles::of(wall), runs: timings.len() as u32 }
    }

    /// The device's own times, or wall-clock times where it has none.
    pub(crate) fn best(&self) -> &Quartiles {
        self.gpu_ms.as_ref().unwrap_or(&self.wall_ms)
    }

    /// The rate of a program of so many flops.
    pub(crate) fn gflops(&self, flops: f64) -> f64 {
        flops / (self.best().median * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        for (milliseconds, expected) in [(&[4, 1, 3, 2][..], [1.75, 2.5, 3.25]), (&[7], [7.0; 3])] {
            let Quartiles { first, median, third } =
                Quartiles::of(milliseconds.iter().map(|&time| Duration::from_millis(time)).collect());
            for (found, expected) in [first, median, third].into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn no_run_but_the_first_begins_after_the_end() {
        let run = || Ok(Timing { wall: Duration::from_millis(1), gpu: None });
        let timed = |end| times(Some(9), end, run).unwrap().runs;
        let now = Instant::now();
        assert_eq!([timed(Some(now)), timed(Some(now + Duration::from_secs(600))), timed(None)], [1, 9, 9]);
    }

    #[test]
    fn short_programs_run_more_often() {
        assert_eq!(planned_runs(None, Duration::from_secs(9)), 3);
        assert_eq!(planned_runs(None, Duration::from_millis(50)), 10);
        assert_eq!(planned_runs(None, Duration::ZERO), 20);
        assert_eq!(planned_runs(Some(7), Duration::from_secs(9)), 7);
    }
}
