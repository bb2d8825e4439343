//! What the benchmark is for: which method to take at a length, and what it costs in error.

use serde::Serialize;

use super::methods::Exact;
use super::report::Row;
use super::row::Measurement;
use super::subject::Distance;

/// The fastest method in place of one exact attention, at one length.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Answer {
    pub(super) length: usize,
    /// What it stands for.
    pub(super) exact: Exact,
    /// The fastest of all that leave keys out of it, or none of them.
    pub(super) fastest: Candidate,
    /// The fastest that leaves none out, where one was timed; it may be the same.
    pub(super) fastest_exact: Option<Candidate>,
}

/// A method that was timed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Candidate {
    pub(super) method: &'static str,
    pub(super) ms: f64,
    pub(super) is_exact: bool,
    pub(super) off_exact: Distance,
}

impl Answer {
    /// What `rows` say of the longest length that any of them was timed at, for each exact attention that they stand for.
    pub(super) fn of(rows: &[Row]) -> Vec<Self> {
        let timed = || rows.iter().filter_map(|row| Some((row, row.measurement()?)));
        let Some(length) = timed().map(|(row, _)| row.length).max() else { return Vec::new() };
        let answer = |exact| {
            let candidates: Vec<Candidate> = timed()
                .filter(|(row, found)| row.length == length && found.off_exact.exact == exact)
                .map(|(row, found)| Candidate::of(row.method, found))
                .collect();
            let fastest = |candidates: &mut dyn Iterator<Item = &Candidate>| {
                candidates.min_by(|a, b| a.ms.total_cmp(&b.ms)).cloned()
            };
            Some(Self {
                length,
                exact,
                fastest: fastest(&mut candidates.iter())?,
                fastest_exact: fastest(&mut candidates.iter().filter(|candidate| candidate.is_exact)),
            })
        };
        [Exact::Full, Exact::Causal, Exact::StrictlyCausal].into_iter().filter_map(answer).collect()
    }

    pub(super) fn text(&self) -> String {
        let Self { length, exact, fastest, fastest_exact } = self;
        let Candidate { method, ms, is_exact, off_exact } = fastest;
        let start =
            format!("in place of {} attention of {length} tokens: {method}, {} ms", exact.name(), shown(*ms));
        if *is_exact {
            return format!("{start}, exact");
        }
        let Distance { max_abs, mean_abs, cosine, .. } = off_exact;
        let error = format!("cosine {cosine:.4}, mean error {mean_abs:.1e}, largest {max_abs:.1e}");
        match fastest_exact {
            Some(other) => format!(
                "{start}, {:.1} times as fast as {}, which is exact; {error}",
                other.ms / ms,
                other.method
            ),
            None => format!("{start}; {error}"),
        }
    }
}

impl Candidate {
    fn of(method: &'static str, found: &Measurement) -> Self {
        let ms = found.times.best().median;
        Self { method, ms, is_exact: found.is_exact, off_exact: found.off_exact }
    }
}

/// Three digits.
fn shown(ms: f64) -> String {
    let digits = if ms >= 100.0 {
        0
    } else if ms >= 10.0 {
        1
    } else {
        2
    };
    format!("{ms:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;
    use crate::measure::{Quartiles, Times};

    fn row(method: &'static str, length: usize, ms: f64, exact: Exact, is_exact: bool) -> Row {
        let wall_ms = Quartiles { median: ms, first: ms, third: ms };
        let off = if is_exact { 0.0 } else { 0.25 };
        let off_exact =
            Distance { exact, max_abs: off, relative: off, mean_abs: off / 10.0, cosine: 1.0 - off };
        Row {
            method,
            length,
            outcome: Outcome::Measured(Measurement {
                times: Times { gpu_ms: None, wall_ms, runs: 1 },
                first_call_ms: ms,
                gflops: Some(1.0),
                memory: None,
                error_of_budget: 0.0,
                off_exact,
                is_exact,
                times_unfused: None,
            }),
        }
    }

    #[test]
    fn the_longest_length_is_answered_for_each_exact_attention() {
        let rows = [
            row("window", 64, 0.5, Exact::Full, false),
            row("full", 128, 12.0, Exact::Full, true),
            row("unfused", 128, 20.0, Exact::Full, true),
            row("window", 128, 4.0, Exact::Full, false),
            row("causal", 128, 7.0, Exact::Causal, true),
            row("strided", 128, 8.0, Exact::Causal, false),
            row("span", 128, 3.0, Exact::StrictlyCausal, false),
            Row { method: "none", length: 256, outcome: Outcome::NotRun { reason: String::new() } },
        ];
        let texts: Vec<String> = Answer::of(&rows).iter().map(Answer::text).collect();
        assert_eq!(
            texts,
            [
                "in place of full attention of 128 tokens: window, 4.00 ms, 3.0 times as fast as full, which is exact; cosine 0.7500, mean \
                 error 2.5e-2, largest 2.5e-1",
                "in place of causal attention of 128 tokens: causal, 7.00 ms, exact",
                "in place of strictly causal attention of 128 tokens: span, 3.00 ms; cosine 0.7500, mean error 2.5e-2, largest 2.5e-1",
            ]
        );
        assert!(Answer::of(&rows[7..]).is_empty());
    }
}
