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
            let limited = Limited { since: start, time: budget / 2 };
            Some(headline(args, limited, device.runtime(), &bar)?)
        },
        rows: Vec::new(),
        answers: Vec::new(),
    };
    let mut schedule = schedule(args, device.runtime(), start + budget);
    let mut bench = Workbench::new(device.runtime(), &activations, dtype, args.repeats);
    let mut before = (0, Vec::new());
    while let Some(time) = schedule.next() {
        let has_time =
            |method: &Method, now: &[Spent]| schedule.has_time_for(method, time, (before.0, &before.1), now);
        let spent = measure_length(&mut bench, &methods, time, &mut report, &bar, has_time)?;
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
    }
}

/// Runs all `methods` for `time` tokens that there is time for, and returns what the measured ones took.
fn measure_length(
    bench: &mut Workbench<'_>,
    methods: &[&'static Method],
    time: usize,
    report: &mut Report,
    bar: &ProgressBar,
    has_time: impl Fn(&Method, &[Spent]) -> bool,
) -> Result<Vec<Spent>> {
    bar.inc_length(methods.len() as u64);
    let prepared: Vec<_> = methods.iter().map(|&method| (method, bench.prepare(method, time))).collect();
    // Only when some method fits: no memory is asked for on behalf of a length that none of them takes.
    let fits = prepared.iter().any(|(_, prepared)| prepared.is_ok());
    let subject = if fits { Some(bench.subject(time)?) } else { None };
    let mut spent = Vec::new();
    for (method, prepared) in prepared {
        if !has_time(method, &spent) {
            let outcome = Outcome::NotRun { reason: "for want of time, see --budget".into() };
            report.rows.push(Row { method: method.name, length: time, outcome });
            bar.inc(1);
            continue;
        }
        bar.set_message(format!("{} at {time}", method.name));
        let start = (Instant::now(), bench.prefix_time());
        let measured = match (prepared, &subject) {
            (Ok(prepared), Some(subject)) => bench.measure(&prepared, subject),
            (Ok(Prepared { .. }), None) => continue,
            (Err(error), _) => Err(Failure::Refused(error)),
        };
        let outcome = match measured {
            Ok(measurement) => {
                let total = start.0.elapsed().saturating_sub(bench.prefix_time() - start.1);
                let run = Duration::from_secs_f64(measurement.times.wall_ms.median / 1e3);
                let (heads, asks_all) = (report.activations.heads, bench.asks_all());
                spent.push(Spent { method, heads, asks_all, run, runs: measurement.times.runs, total });
                Outcome::Measured(measurement)
            }
            Err(Failure::Wrong(reason)) => Outcome::Failed { reason },
            Err(Failure::Refused(error)) => Outcome::NotRun { reason: row_note(error)? },
        };
        report.rows.push(Row { method: method.name, length: time, outcome });
        bar.inc(1);
    }
    report.compare_with(methods::BASELINE, time);
    Ok(spent)
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
