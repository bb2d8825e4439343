//! `foveate bench`: attention methods on real activations, each row verified and then timed.

mod activations;
mod answer;
mod chart;
mod headline;
mod methods;
mod patterns;
mod report;
mod row;
mod schedule;
mod subject;
mod verify;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use foveate::{DType, Error, ErrorKind, Result, runtime};
use indicatif::ProgressBar;

use crate::Verdict;
use crate::args::{self, BenchArgs};
use crate::device::Device;
use crate::output::{self, Delivery, Sink, Target};
use crate::pipelines::{self, PipelineCache};

use activations::Activations;
use answer::Answer;
use headline::Limited;
use methods::Method;
pub(crate) use methods::help as methods_help;
use report::{HeadlineOutcome, Outcome, Report, Row, Source};
use row::{Prepared, Workbench};
use schedule::{Schedule, Spent};
use verify::Failure;

/// The shortest length of a run that chooses its own, on adapters and on the CPU reference.
const FIRST_LENGTH: usize = 512;
const FIRST_CPU_LENGTH: usize = 128;

/// Why a row was not run, or not to its end.
const LATE: &str = "for want of time, see --budget";

pub(crate) fn run(args: &BenchArgs) -> Result<Verdict> {
    let start = Instant::now();
    let budget = args::budget("bench", args.budget)?;
    let methods = methods::select(&args.methods)?;
    let dtype = args::dtype("bench", &args.dtype)?;
    let activations = Activations::load(args.activations.as_deref())?;
    let outputs = Outputs::open(args)?;
    let device = Device::open(&args.device, runtime::Device::CpuF64)?;
    let (device, cache) = PipelineCache::open(device, args.cache.pipeline_cache.as_deref())?;
    let device = pipelines::unchecked(device, args.unchecked)?;
    check_dtype(dtype, &device)?;

    let bar = output::progress(0);
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        device: device.report(),
        dtype: dtype.name(),
        activations: Source {
            source: activations.source.clone(),
            time: activations.time,
            heads: activations.heads,
            channels: activations.channels,
        },
        headline: if args.no_headline {
            None
        } else {
            let limited = Limited::new(start, budget / 2);
            Some(headline(args, limited, device.runtime(), &bar)?)
        },
        rows: Vec::new(),
        answers: Vec::new(),
    };
    let mut schedule = schedule(args, device.runtime(), start + budget);
    let mut bench = Workbench::new(device.runtime(), &activations, dtype, args.repeats);
    let mut before = (0, Vec::new());
    while let Some(time) = schedule.next() {
        let rows = Rows { methods: &methods, time, schedule: &schedule, before: (before.0, &before.1) };
        let spent = rows.measure(&mut bench, &mut report, &bar)?;
        schedule.record(time, &spent);
        before = (time, spent);
    }
    bar.finish_and_clear();
    report.answers = Answer::of(&report.rows);
    outputs.write(&report, cache)?;
    Ok(if report.failed() { Verdict::Unsound } else { Verdict::Sound })
}

/// Refuses f16 on an adapter that cannot store it, before every row does.
fn check_dtype(dtype: DType, device: &Device) -> Result<()> {
    if device.runtime().stores(dtype) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "bench", "--dtype f16")
        .expecting("an adapter with f16 storage")
        .but_found(device.describe()))
}

fn schedule(args: &BenchArgs, device: &runtime::Device, end: Instant) -> Schedule {
    if !args.lengths.is_empty() {
        return Schedule::Given(args.lengths.clone().into_iter());
    }
    let first = if device.is_planned() { FIRST_LENGTH } else { FIRST_CPU_LENGTH };
    Schedule::Doubling { next: Some(first), end, repeats: args.repeats }
}

fn headline(
    args: &BenchArgs,
    limited: Limited,
    device: &runtime::Device,
    bar: &ProgressBar,
) -> Result<HeadlineOutcome> {
    bar.set_message("matmul and attention rates");
    let Some(context) = device.context() else {
        return Ok(HeadlineOutcome::NotRun { reason: "they are rates of an adapter".into() });
    };
    match headline::measure(device, context, args.repeats, args.lengths.is_empty().then_some(limited)) {
        Ok(headline) => Ok(HeadlineOutcome::Measured(headline)),
        Err(Failure::Wrong(reason)) => Ok(HeadlineOutcome::Failed { reason }),
        Err(Failure::Refused(error)) => Ok(HeadlineOutcome::NotRun { reason: row_note(error)? }),
        Err(Failure::Late) => Ok(HeadlineOutcome::NotRun { reason: LATE.into() }),
    }
}

/// The rows of one length.
struct Rows<'a> {
    methods: &'a [&'static Method],
    /// Tokens.
    time: usize,
    schedule: &'a Schedule,
    /// What the rows of the length before took, and that length.
    before: (usize, &'a [Spent]),
}

impl Rows<'_> {
    /// Runs all that there is time for, and returns what the measured ones took.
    fn measure(
        &self,
        bench: &mut Workbench<'_>,
        report: &mut Report,
        bar: &ProgressBar,
    ) -> Result<Vec<Spent>> {
        let Self { methods, time, schedule, before } = *self;
        bar.inc_length(methods.len() as u64);
        let prepared: Vec<_> = methods.iter().map(|&method| (method, bench.prepare(method, time))).collect();
        // Only when some method fits: no memory is asked for on behalf of a length that none of them takes.
        let fits = prepared.iter().any(|(_, prepared)| prepared.is_ok());
        let subject = if fits { Some(bench.subject(time)?) } else { None };
        let mut spent = Vec::new();
        for (method, prepared) in prepared {
            bar.set_message(format!("{} at {time}", method.name));
            let (start, prefix) = (Instant::now(), bench.prefix_time());
            let measured = match (prepared, &subject) {
                _ if !schedule.has_time_for(method, time, before, &spent) => Err(Failure::Late),
                (Ok(prepared), Some(subject)) => {
                    bench.measure(&prepared, subject, schedule.deadline(before.1, &spent))
                }
                (Ok(Prepared { .. }), None) => continue,
                (Err(error), _) => Err(Failure::Refused(error)),
            };
            let outcome = match measured {
                Ok(measurement) => {
                    let prefix = bench.prefix_time() - prefix;
                    spent.push(Spent {
                        method,
                        heads: report.activations.heads,
                        asks_all: bench.asks_all(),
                        run: Duration::from_secs_f64(measurement.times.wall_ms.median / 1e3),
                        runs: measurement.times.runs,
                        total: start.elapsed().saturating_sub(prefix),
                        prefix,
                    });
                    Outcome::Measured(measurement)
                }
                Err(Failure::Wrong(reason)) => Outcome::Failed { reason },
                Err(Failure::Refused(error)) => Outcome::NotRun { reason: row_note(error)? },
                Err(Failure::Late) => Outcome::NotRun { reason: LATE.into() },
            };
            report.rows.push(Row { method: method.name, length: time, outcome });
            bar.inc(1);
        }
        report.compare_with(methods::BASELINE, time);
        Ok(spent)
    }
}

/// The sentence of an error that only concerns one row; any other ends the run.
fn row_note(error: Error) -> Result<String> {
    match error.kind() {
        ErrorKind::Limit => Ok(format!("exceeds limit: {error}")),
        ErrorKind::Unsupported | ErrorKind::OutOfMemory => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// Where the report goes.
#[derive(Debug)]
struct Outputs {
    json: Option<Sink>,
    csv: Option<Sink>,
    plot: Option<Sink>,
    cache: Option<Sink>,
}

impl Outputs {
    /// Opens everything that the flags name. Fails when one cannot be written, two are the same, or one is a file that is read.
    fn open(args: &BenchArgs) -> Result<Self> {
        let open = |flag, target: &Option<Target>| {
            target.as_ref().map(|target| Sink::open("bench", flag, target)).transpose()
        };
        let file = |flag, path: &Option<PathBuf>| {
            path.as_ref().map(|path| Sink::file("bench", flag, path)).transpose()
        };
        let outputs = Self {
            json: args.output.open("bench")?,
            csv: open("--csv", &args.csv)?,
            plot: file("--plot", &args.plot)?,
            cache: args
                .cache
                .pipeline_cache
                .as_deref()
                .map(|path| pipelines::sink("bench", path))
                .transpose()?,
        };
        output::check(outputs.sinks(), &args.files_read())?;
        Ok(outputs)
    }

    fn sinks(&self) -> impl Iterator<Item = &Sink> {
        [&self.json, &self.csv, &self.plot, &self.cache].into_iter().flatten()
    }

    fn write(&self, report: &Report, cache: Option<PipelineCache>) -> Result<()> {
        let mut delivery = Delivery::default();
        delivery.put(self.json.as_ref(), || output::json(report));
        delivery.put(self.csv.as_ref(), || report.csv());
        delivery.put(self.plot.as_ref(), || chart::svg(report));
        if let Some(cache) = cache {
            delivery.put(self.cache.as_ref(), || cache.contents());
        }
        delivery.end(|| report.text())
    }
}
