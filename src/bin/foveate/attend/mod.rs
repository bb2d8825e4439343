//! `foveate attend`: a rule or a mechanism in JSON on the tensors of a file, and how far the results lie from those that the file holds.

mod compare;
mod document;
mod problem;
mod report;
mod tensors;

use foveate::{DType, Error, ErrorKind, Result, runtime};

use crate::Verdict;
use crate::args::AttendArgs;
use crate::device::Device;
use crate::output::{self, Delivery, Sink};

use compare::Comparison;
use document::AttendDocument;
use problem::AttentionRun;
use report::Report;
use tensors::Source;

/// What errors call the command.
const COMMAND: &str = "attend";

/// How far f32 results may lie from exact ones, of the largest element, when the user does not say.
const F32_TOLERANCE: f64 = 2e-5;
/// The same for f16: inputs rounded to f16 move scores by 2^-11 of each of their terms.
const F16_TOLERANCE: f64 = 8.0 / 1024.0;

pub(crate) fn run(args: &AttendArgs) -> Result<Verdict> {
    check_tolerance(args)?;
    let rule = AttendDocument::open(&args.rule)?;
    let source = Source::open(&args.tensors)?;
    let out = args.out.as_deref().map(|path| Sink::file(COMMAND, "--out", path)).transpose()?;
    let json = args.output.open(COMMAND)?;
    output::check(out.iter().chain(&json), &args.files_read())?;
    let problem = AttentionRun::new(&rule, source.read(&rule)?)?;
    let expected = source.expected(&problem.outputs())?;
    if args.compare && expected.is_empty() {
        let names: Vec<String> = problem.outputs().into_iter().map(|(name, _)| name).collect();
        return Err(source
            .refused(ErrorKind::Argument, "--compare")
            .expecting(format!("at least one of {}", names.join(", ")))
            .but_found("none of them"));
    }
    let device = Device::open(&args.device, runtime::Device::CpuF64)?;
    let results = problem.run(device.runtime())?;

    let default = if problem.dtype() == DType::F16 { F16_TOLERANCE } else { F32_TOLERANCE };
    let tolerance = args.compare.then(|| args.tolerance.unwrap_or(default));
    let comparison = Comparison::of(&results.tensors, &expected, tolerance);
    let report = Report { device: &device, rule: &rule, problem: &problem, results: &results };
    let mut delivery = Delivery::default();
    delivery.put(out.as_ref(), || tensors::bytes(&results.tensors, report.metadata()?));
    delivery.put(json.as_ref(), || output::json(&report.document(&comparison)));
    delivery.end(|| report.text(&comparison))?;
    Ok(if comparison.holds() { Verdict::Sound } else { Verdict::Unsound })
}

fn check_tolerance(args: &AttendArgs) -> Result<()> {
    match args.tolerance {
        Some(tolerance) if !(tolerance.is_finite() && tolerance >= 0.0) => {
            Err(Error::new(ErrorKind::Argument, COMMAND, "--tolerance")
                .expecting("a number of at least 0")
                .but_found(tolerance))
        }
        _ => Ok(()),
    }
}
