//! `foveate tune`: which kernel shapes are fastest on an adapter, setting by setting, as a profile.

mod benchmarks;
mod file;
mod report;
mod settings;
mod trial;

use std::time::{Duration, Instant};

use foveate::gpu::{Context, Identity, Profile};
use foveate::{Caps, Error, ErrorKind, Result};
use indicatif::ProgressBar;

use crate::args::{self, TuneArgs};
use crate::device::{self, Adapter};
use crate::output::{self, Delivery, Lines, Sink};
use crate::tuning::Source;

use file::Destination;
use report::{Line, Report};
use settings::{SETTINGS, Setting};
use trial::{Choice, Trials};

/// What errors call this command.
const COMMAND: &str = "tune";

/// What is said of settings and shapes that the time did not suffice for.
const NO_TIME: &str = "not tried for want of time, see --budget";

pub(crate) fn run(args: &TuneArgs) -> Result<()> {
    let end = Instant::now() + args::budget(COMMAND, args.budget)?;
    let context = adapter(&args.device)?;
    let destination = Destination::new(args.out.as_deref(), &context)?;
    let json = args.output.open(COMMAND)?;
    let sinks = || [destination.sink()].into_iter().chain(&json);
    output::check(sinks(), &[])?;
    let mut search = Search {
        context: &context,
        caps: context.caps().clone(),
        lines: Lines::new(sinks().any(Sink::is_stdout)),
        end,
        has_tried: false,
        longest: Duration::ZERO,
    };
    let settings = search.run()?;

    let measured = settings.iter().flat_map(Choice::measured).collect();
    let profile = Profile { identity: Identity::of(context.info()), tuning: search.caps.tuning, measured };
    let mut delivery = Delivery::default();
    let is_written = delivery.put(Some(destination.sink()), || profile.to_json());
    delivery.note(search.lines.outcome());
    let source = Source::Profile(destination.path().to_owned());
    let tuned = Adapter { context: context.tuned(&profile)?, source };
    let report = Report { version: env!("CARGO_PKG_VERSION"), device: tuned.report(), settings };
    delivery.put(json.as_ref(), || output::json(&report));
    delivery.end(|| {
        let place = destination.path().display();
        report.text() + &if is_written { format!("written to {place}\n") } else { String::new() }
    })
}

/// The adapter to tune. The CPU reference has no kernels.
fn adapter(flag: &str) -> Result<Context> {
    if flag != "cpu" {
        // Cooperative matrices are candidates even where the table does without.
        return Ok(device::adapter(flag)?.self_tested());
    }
    Err(Error::new(ErrorKind::Argument, COMMAND, "--device")
        .expecting("an adapter (auto, gpu or part of its name)")
        .but_found("cpu, the reference, which has no kernels"))
}

/// A walk over the settings, each of which starts from what those before it chose.
#[derive(Debug)]
struct Search<'a> {
    context: &'a Context,
    /// The device with what has been chosen so far.
    caps: Caps,
    /// Of each shape that is tried.
    lines: Lines,
    end: Instant,
    /// Whether a shape has been tried: the first one is, whatever the time, for a profile that holds anything.
    has_tried: bool,
    /// The longest that a default has taken to prepare: what the next one is estimated to take.
    longest: Duration,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Vec<Choice>> {
        let mut ahead = Vec::new();
        for setting in SETTINGS {
            if !(setting.problems)(&self.caps)?.is_empty() {
                ahead.push(setting);
            }
        }
        let bar = output::progress(ahead.iter().map(|setting| setting.candidates(&self.caps).len()).sum());
        let mut choices = Vec::with_capacity(SETTINGS.len());
        for (at, setting) in ahead.iter().enumerate() {
            bar.set_message(setting.name);
            let of_rank = ahead[at..].iter().filter(|other| other.rank == setting.rank);
            let weights: u32 = of_rank.map(|setting| setting.weight).sum();
            let left = self.end.saturating_duration_since(Instant::now());
            let choice = self.choose(setting, Instant::now() + left * setting.weight / weights, &bar)?;
            if let Some(best) = &choice.best {
                self.caps.tuning = best.tuning;
            }
            choices.push(choice);
        }
        bar.finish_and_clear();
        Ok(choices)
    }

    /// The best shape of `setting`, as far as can be told until `end`.
    fn choose(&mut self, setting: &Setting, end: Instant, bar: &ProgressBar) -> Result<Choice> {
        let mut choice = Choice::new(setting, &self.caps.tuning);
        let problems = (setting.problems)(&self.caps)?;
        if self.has_tried && Instant::now() + self.longest >= self.end {
            choice.note = Some(NO_TIME.into());
            return Ok(choice);
        }
        let mut trials = match Trials::new(self.context, &self.caps, setting, &problems) {
            Ok(trials) => trials,
            Err(error) if error.kind() == ErrorKind::DeviceLost => return Err(error),
            Err(error) => {
                choice.note = Some(error.to_string());
                return Ok(choice);
            }
        };
        self.longest = self.longest.max(trials.cost());
        let candidates = setting.candidates(&self.caps);
        for (at, tuning) in candidates.iter().enumerate() {
            if self.has_tried && Instant::now() + trials.cost() > end {
                choice.note =
                    Some(format!("{} of {} shapes {NO_TIME}", candidates.len() - at, candidates.len()));
                break;
            }
            let trial = trials.try_out(*tuning)?;
            self.lines.print(bar, &Line(setting.name, &trial));
            choice.trials.push(trial);
            self.has_tried = true;
            bar.inc(1);
        }
        choice.best = trials.best(&mut choice.trials)?;
        Ok(choice)
    }
}
