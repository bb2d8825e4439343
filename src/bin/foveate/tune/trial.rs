//! One setting's shapes on this device: timed in turn with what is in force, and checked before one may take its place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foveate::check::{Outcome, Problem, conform};
use foveate::gpu::{Context, Measured, Program, Rate, Session};
use foveate::kernel::Tuning;
use foveate::{Caps, Error, ErrorKind, HostTensor, Plan, Result};
use serde::Serialize;

use super::benchmarks::Benchmark;
use super::settings::Setting;
use crate::measure::{self, Times};

/// Time over the default's from which on a shape is better for certain: medians of a quiet machine differ by half of that.
const CLEARLY_BETTER: f64 = 1.03;

/// Rounds that a shape and the default are timed in turn.
const ROUNDS: u32 = 7;

/// The same for the best of many, which owes some of its lead to chance.
const CONFIRMING_ROUNDS: u32 = 15;

/// Long runs get as many rounds as fit in this time, and no fewer than a median takes.
const ROUNDS_TIME: Duration = Duration::from_millis(500);
const LEAST_ROUNDS: u32 = 3;

/// A shape on one problem.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timed {
    pub(super) problem: String,
    pub(super) default_ms: f64,
    pub(super) default_rate: Rate,
    pub(super) ms: f64,
    pub(super) rate: Rate,
    /// The default's time over this one's.
    pub(super) ratio: f64,
}

/// What became of a shape.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Fate {
    /// It was timed.
    Measured { problems: Vec<Timed> },
    /// The device cannot run it, or runs the default for it.
    Skipped { reason: String },
    /// It computed something else.
    Wrong { reason: String },
}

/// A shape that was tried.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Trial {
    pub(super) candidate: String,
    #[serde(skip)]
    pub(super) tuning: Tuning,
    #[serde(flatten)]
    pub(super) fate: Fate,
}

/// A setting's outcome.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Choice {
    pub(super) setting: &'static str,
    pub(super) default: String,
    /// The shape that replaces it, timed once more; none where none is clearly better.
    pub(super) best: Option<Trial>,
    pub(super) trials: Vec<Trial>,
    /// Why nothing was tried, or of how many shapes that is so.
    pub(super) note: Option<String>,
}

/// The default on one problem, ready to be timed.
struct Baseline<'a> {
    problem: &'a Benchmark,
    recorded: Problem,
    session: Session,
    plan: Plan,
    outputs: BTreeMap<String, HostTensor>,
}

/// What trials share.
pub(super) struct Trials<'a> {
    context: &'a Context,
    caps: &'a Caps,
    setting: &'a Setting,
    baselines: Vec<Baseline<'a>>,
    /// The longest that a shape has taken so far.
    cost: Duration,
}

impl Timed {
    fn of(problem: &Benchmark, [default, own]: &[Times; 2]) -> Self {
        let [default_ms, ms] = [default, own].map(|times| times.best().median);
        Self {
            problem: problem.label.clone(),
            default_ms,
            default_rate: problem.rate(default_ms),
            ms,
            rate: problem.rate(ms),
            ratio: default_ms / ms,
        }
    }

    fn is_slower(&self) -> bool {
        self.ratio * CLEARLY_BETTER < 1.0
    }
}

impl Trial {
    /// Its times, where it has any.
    pub(super) fn problems(&self) -> Option<&[Timed]> {
        if let Fate::Measured { problems } = &self.fate { Some(problems) } else { None }
    }

    /// The geometric mean of the ratios over problems, where it is clearly better and slower on none.
    fn score(&self) -> Option<f64> {
        let problems = self.problems()?;
        let mean = problems.iter().map(|timed| timed.ratio.ln()).sum::<f64>() / problems.len() as f64;
        let slower = problems.iter().any(Timed::is_slower);
        Some(mean.exp()).filter(|score| *score >= CLEARLY_BETTER && !slower)
    }

    fn measured(&self, setting: &str) -> Vec<Measured> {
        let measured = |timed: &Timed| Measured {
            setting: setting.to_owned(),
            problem: timed.problem.clone(),
            candidate: self.candidate.clone(),
            ms: timed.ms,
            rate: timed.rate,
            of_default: timed.ratio,
        };
        self.problems().unwrap_or_default().iter().map(measured).collect()
    }
}

impl Choice {
    /// No choice yet between shapes of `setting` and that of `default`.
    pub(super) fn new(setting: &Setting, default: &Tuning) -> Self {
        let default = (setting.label)(default);
        Self { setting: setting.name, default, best: None, trials: Vec::new(), note: None }
    }

    /// What a profile keeps of it: the default, and every shape that was timed, as it was last.
    pub(super) fn measured(&self) -> Vec<Measured> {
        let is_best = |trial: &&Trial| self.best.as_ref().is_some_and(|best| best.tuning == trial.tuning);
        let trials = || self.trials.iter().filter(|trial| !is_best(trial)).chain(&self.best);
        let default =
            trials().find_map(|trial| trial.problems()).unwrap_or_default().iter().map(|timed| Measured {
                setting: self.setting.to_owned(),
                problem: timed.problem.clone(),
                candidate: self.default.clone(),
                ms: timed.default_ms,
                rate: timed.default_rate,
                of_default: 1.0,
            });
        default.chain(trials().flat_map(|trial| trial.measured(self.setting))).collect()
    }
}

impl<'a> Trials<'a> {
    /// Runs what is in force, that of `caps`, on all `problems` of `setting`.
    pub(super) fn new(
        context: &'a Context,
        caps: &'a Caps,
        setting: &'a Setting,
        problems: &'a [Benchmark],
    ) -> Result<Self> {
        let start = Instant::now();
        let mut baselines = Vec::with_capacity(problems.len());
        for problem in problems {
            let recorded = problem.timed.problem()?;
            let plan = Plan::new(&recorded.graph, caps)?;
            let (session, outputs) = first_run(context, &recorded, &plan)?;
            baselines.push(Baseline { problem, recorded, session, plan, outputs });
        }
        // A shape is compiled for as long as the default was, and timed for about as long again.
        Ok(Self { context, caps, setting, baselines, cost: 2 * start.elapsed() })
    }

    /// How long the next shape is estimated to take.
    pub(super) fn cost(&self) -> Duration {
        self.cost
    }

    /// Times `tuning` in turn with what is in force, problem by problem until it is slower on one. Problems that it has no other kernel for
    /// are left out. Fails when the device is lost.
    pub(super) fn try_out(&mut self, tuning: Tuning) -> Result<Trial> {
        let start = Instant::now();
        let fate = self.timed(tuning, ROUNDS).or_else(skipped)?;
        self.cost = self.cost.max(start.elapsed());
        Ok(Trial { candidate: (self.setting.label)(&tuning), tuning, fate })
    }

    fn timed(&mut self, tuning: Tuning, rounds: u32) -> Result<Fate> {
        let caps = Caps { tuning, ..self.caps.clone() };
        let mut problems = Vec::with_capacity(self.baselines.len());
        for baseline in &mut self.baselines {
            let plan = Plan::new(&baseline.recorded.graph, &caps)?;
            if plan.shaders() == baseline.plan.shaders() {
                continue;
            }
            let (mut session, outputs) = first_run(self.context, &baseline.recorded, &plan)?;
            if let Some(reason) = disagreement(baseline.problem, &baseline.outputs, &outputs) {
                return Ok(Fate::Wrong { reason });
            }
            let run = session.run()?.wall.as_secs_f64();
            // The cast saturates.
            let fitting = (ROUNDS_TIME.as_secs_f64() / run.max(1e-9)) as u32;
            let rounds = fitting.clamp(LEAST_ROUNDS, rounds);
            let times = measure::in_turn(Some(rounds), None, [&mut baseline.session, &mut session])?;
            let timed = Timed::of(baseline.problem, &times);
            let slower = timed.is_slower();
            problems.push(timed);
            if slower {
                // No other problem could make up for it.
                break;
            }
        }
        if problems.is_empty() {
            return Ok(Fate::Skipped { reason: "the device makes the default's kernels of it".into() });
        }
        Ok(Fate::Measured { problems })
    }

    /// The fastest of `trials` that is clearly better than the default, once more, and right. Those that turn out wrong are marked.
    pub(super) fn best(&mut self, trials: &mut [Trial]) -> Result<Option<Trial>> {
        loop {
            let scored = trials.iter().enumerate().filter_map(|(at, trial)| Some((at, trial.score()?)));
            let Some((at, _)) = scored.max_by(|a, b| a.1.total_cmp(&b.1)) else { return Ok(None) };
            let tuning = trials[at].tuning;
            if let Some(fate) = self.refuted(tuning) {
                trials[at].fate = fate;
                continue;
            }
            let fate = self.timed(tuning, CONFIRMING_ROUNDS).or_else(skipped)?;
            let again = Trial { fate, ..trials[at].clone() };
            if again.score().is_some() {
                return Ok(Some(again));
            }
            trials[at].fate = again.fate;
        }
    }

    /// Holds `tuning` to the CPU reference on small problems.
    fn refuted(&self, tuning: Tuning) -> Option<Fate> {
        let caps = Caps { tuning, ..self.caps.clone() };
        self.baselines.iter().find_map(|Baseline { problem, .. }| {
            match conform(&problem.checked, self.context, &caps) {
                Outcome::Passed(_) => None,
                Outcome::Failed(reason) => Some(Fate::Wrong { reason }),
                Outcome::Unsupported(error) => Some(Fate::Skipped { reason: error.to_string() }),
            }
        })
    }
}

/// A shape that cannot be run is no reason to end, but for a device that is gone.
fn skipped(error: Error) -> Result<Fate> {
    match error.kind() {
        ErrorKind::DeviceLost => Err(error),
        _ => Ok(Fate::Skipped { reason: error.to_string() }),
    }
}

/// A session that has run once, so that everything made on first use is there, and its results.
fn first_run(
    context: &Context,
    recorded: &Problem,
    plan: &Plan,
) -> Result<(Session, BTreeMap<String, HostTensor>)> {
    let mut session = Session::new(&Program::new(context, plan)?, &recorded.inputs())?;
    session.run()?;
    let outputs = session.read()?;
    Ok((session, outputs))
}

/// How the results of a shape differ from the default's beyond rounding.
fn disagreement(
    problem: &Benchmark,
    default: &BTreeMap<String, HostTensor>,
    own: &BTreeMap<String, HostTensor>,
) -> Option<String> {
    default.iter().find_map(|(name, default)| {
        let (default, own) = (default.to_f64(), own.get(name)?.to_f64());
        let largest = default.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        let far = |&at: &usize| {
            let distance = (default[at] - own[at]).abs();
            // What is no number is far from everything.
            distance.is_nan() || distance > problem.tolerance * largest
        };
        let at = (0..default.len()).find(far)?;
        Some(format!("{}: element {at} is {:e} in place of {:e}", problem.label, own[at], default[at]))
    })
}

#[cfg(test)]
mod tests {
    use foveate::AdapterKind;

    use super::super::benchmarks;
    use super::*;

    fn problem() -> Benchmark {
        benchmarks::elements(&Caps::webgpu_default()).unwrap().remove(0)
    }

    fn trial(ratios: &[f64]) -> Trial {
        let rate = Rate::GbPerSecond(1.0);
        let timed = |&ratio: &f64| Timed {
            problem: "a problem".into(),
            default_ms: ratio,
            default_rate: rate,
            ms: 1.0,
            rate,
            ratio,
        };
        Trial {
            candidate: "a shape".into(),
            tuning: Tuning::for_adapter(AdapterKind::Cpu, None),
            fate: Fate::Measured { problems: ratios.iter().map(timed).collect() },
        }
    }

    #[test]
    fn only_what_is_clearly_better_and_nowhere_slower_has_a_score() {
        for (ratios, wins) in [
            (&[1.03][..], true),
            (&[1.02], false),
            (&[1.2, 0.99], true),
            (&[1.5, 0.96], false),
            (&[1.04, 1.01], false),
            (&[0.5], false),
        ] {
            assert_eq!(trial(ratios).score().is_some(), wins, "{ratios:?}");
        }
        assert!((trial(&[2.0, 8.0]).score().unwrap() - 4.0).abs() < 1e-12);
        let wrong = Trial { fate: Fate::Wrong { reason: "off".into() }, ..trial(&[]) };
        assert_eq!(wrong.score(), None);
    }

    #[test]
    fn rounding_is_forgiven_and_nothing_else() {
        let problem = problem();
        let outputs = |values: [f32; 3]| {
            BTreeMap::from([("0".to_owned(), HostTensor::f32([3], values.into()).unwrap())])
        };
        let default = outputs([1.0, -100.0, 0.0]);
        assert_eq!(disagreement(&problem, &default, &outputs([1.0, -100.0, 1e-6])), None);
        for wrong in [[1.0, -100.1, 0.0], [f32::NAN, -100.0, 0.0], [1.0, 100.0, 0.0]] {
            assert!(disagreement(&problem, &default, &outputs(wrong)).is_some(), "{wrong:?}");
        }
    }
}
