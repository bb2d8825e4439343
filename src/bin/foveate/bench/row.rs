//! One row: a method at a length, verified and then timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foveate::plan;
use foveate::runtime::{Device, Planned, Store};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result};
use serde::Serialize;

use crate::measure::{self, Times};
use crate::memory;

use super::activations::{Activations, rows_of};
use super::methods::{Method, Way};
use super::subject::{Distance, Subject, graph, only_output};
use super::verify::{Checked, Deadline, Expected, Failure, MOST_WHOLE, case, conforms, excerpt_case};

/// Tokens of the short call that is verified in all rows.
const PREFIX: usize = 512;

/// The most that a row's arrays on the CPU reference may take: a machine that runs out of memory kills the whole benchmark.
const MAX_REFERENCE_BYTES: u64 = 4 << 30;

/// What a row found out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    #[serde(flatten)]
    pub(super) times: Times,
    /// The first call by the wall: planning, making pipelines, buffers and bind groups, upload and the first run. Pipelines that an
    /// earlier row made are found. On the CPU reference, its first run.
    pub(super) first_call_ms: f64,
    /// None of a mechanism, which computes other things than pairs.
    pub(super) gflops: Option<f64>,
    pub(super) memory: Option<Memory>,
    /// The worst of the verified rows, in units of the budget.
    pub(super) error_of_budget: f64,
    pub(super) off_exact: Distance,
    /// Whether it computes all of that exact attention, and leaves no key out.
    pub(super) is_exact: bool,
    /// The baseline's time at the same length over this one.
    pub(super) times_unfused: Option<f64>,
}

/// What the plan takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    pub(super) total_bytes: u64,
    pub(super) working_bytes: u64,
}

/// Everything that the rows of one run of the benchmark share.
#[derive(Debug)]
pub(super) struct Workbench<'a> {
    device: &'a Device,
    activations: &'a Activations,
    dtype: DType,
    repeats: Option<u32>,
    /// Methods whose short call holds, and the worst element of each in units of the budget.
    prefixes: BTreeMap<&'static str, f64>,
    prefix_time: Duration,
}

/// A method that fits the device at some length.
#[derive(Debug)]
pub(super) struct Prepared {
    method: &'static Method,
    pub(super) planned: Planned,
}

impl From<&plan::Memory> for Memory {
    fn from(memory: &plan::Memory) -> Self {
        Self { total_bytes: memory.total(), working_bytes: memory.working }
    }
}

impl<'a> Workbench<'a> {
    pub(super) fn new(
        device: &'a Device,
        activations: &'a Activations,
        dtype: DType,
        repeats: Option<u32>,
    ) -> Self {
        Self { device, activations, dtype, repeats, prefixes: BTreeMap::new(), prefix_time: Duration::ZERO }
    }

    /// What has been spent on short calls: once for each method, whatever the number of its rows.
    pub(super) fn prefix_time(&self) -> Duration {
        self.prefix_time
    }

    /// Whether runs ask about every pair of query and key, as references do.
    pub(super) fn asks_all(&self) -> bool {
        !self.device.is_planned()
    }

    /// Plans `method` for `time` tokens. Fails when that exceeds a limit of the device.
    pub(super) fn prepare(&self, method: &'static Method, time: usize) -> Result<Prepared> {
        let desc = self.activations.desc(time, self.dtype);
        let graph = graph(method, &[desc.clone(), desc.clone(), desc])?;
        let planned = Planned::new(&Store::empty(self.device), graph)?;
        // Planning checks the limits of a device; references run into none until memory is full.
        if planned.plan().is_none() {
            check_reference_bytes(method.name, reference_bytes(planned.graph())?)?;
        }
        memory::check(method.name, self.device, "a run", planned.bytes())?;
        Ok(Prepared { method, planned })
    }

    /// The inputs for `time` tokens, which some method has been prepared for.
    pub(super) fn subject(&self, time: usize) -> Result<Subject> {
        Subject::new(self.activations, time, self.dtype)
    }

    /// Verifies and times `prepared` on `subject`. Where the time is over in between, the rest is left and nothing is given; runs are timed as often as
    /// there is time for.
    pub(super) fn measure(
        &mut self,
        prepared: &Prepared,
        subject: &Subject,
        deadline: Deadline,
    ) -> Checked<Measurement> {
        let Prepared { method, planned } = prepared;
        // Before the verification, which would leave warm pipelines behind.
        let mut running = planned.start(&subject.inputs.named())?;
        let output = only_output(running.read()?)?;
        check_finite(method.name, planned, subject, &output)?;

        deadline.check()?;
        let mut worst = self.verify_prefix(method)?;
        deadline.check()?;
        worst = worst.max(verify_rows(method, subject, &output, deadline)?);

        let times = measure::times(self.repeats, deadline.0, || running.run())?;
        Ok(Measurement {
            memory: planned.plan().map(|plan| plan.memory().into()),
            ..Measurement::new(method, subject, &output, times, running.first_call(), worst)?
        })
    }

    /// The short call of `method`, run once for all lengths. None is needed of the CPU reference, which short calls are held to.
    fn verify_prefix(&mut self, method: &'static Method) -> Checked<f64> {
        let Some(context) = self.device.context() else { return Ok(0.0) };
        if let Some(&of_budget) = self.prefixes.get(method.name) {
            return Ok(of_budget);
        }
        let start = Instant::now();
        let inputs = self.activations.inputs(PREFIX.min(self.activations.time), self.dtype)?;
        let of_budget = conforms(&case(method, inputs), context, context.caps())?.of_budget;
        self.prefix_time += start.elapsed();
        self.prefixes.insert(method.name, of_budget);
        Ok(of_budget)
    }
}

/// Demands a result of finite numbers: all of it, where [`verify_rows`] takes samples. Where it is not, says which step is at fault.
fn check_finite(
    name: &'static str,
    planned: &Planned,
    subject: &Subject,
    output: &HostTensor,
) -> Checked<()> {
    match output.to_f32().iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let reason = planned.explain(&subject.inputs.named()).err();
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            Err(Failure::Wrong(format!("{name} gives a number that is not finite at element {at}{reason}")))
        }
    }
}

/// Holds some rows of a method's result to what they must be; the worst element in units of the budget.
fn verify_rows(
    method: &'static Method,
    subject: &Subject,
    output: &HostTensor,
    deadline: Deadline,
) -> Checked<f64> {
    let Way::Pairs { build, .. } = method.way else { return verify_whole(method, subject, output) };
    let Some(pattern) = subject.pattern(method)? else { return Ok(0.0) };
    let mut worst = 0.0_f64;
    for rows in subject.stretches() {
        deadline.check()?;
        let expected = Expected::of(&excerpt_case(method.name, build, subject.excerpt(&*pattern, &rows)?))?;
        worst = worst.max(expected.compare(&rows_of(output, rows)?)?);
    }
    Ok(worst)
}

/// Holds all of a mechanism's result to what it must be, where it is not too long.
fn verify_whole(method: &'static Method, subject: &Subject, output: &HostTensor) -> Checked<f64> {
    if output.shape().dims()[1] > MOST_WHOLE {
        return Ok(0.0);
    }
    Expected::of(&case(method, subject.inputs.clone()))?.compare(output)
}

/// What the CPU reference holds at the widest step of `graph`: the step's arguments and results, as f64. Arrays are freed after
/// their last use, and what a method keeps over a step for a later one grows with the tokens, not with their pairs.
fn reference_bytes(graph: &Graph) -> Result<u64> {
    let mut widest = 0;
    for step in graph.steps() {
        let mut bytes = 0_u64;
        for &value in step.inputs().iter().chain(step.outputs()) {
            let elements = graph.desc(value)?.elements() as u64;
            bytes = bytes.saturating_add(elements.saturating_mul(size_of::<f64>() as u64));
        }
        widest = widest.max(bytes);
    }
    Ok(widest)
}

fn check_reference_bytes(method: &'static str, bytes: u64) -> Result<()> {
    if bytes <= MAX_REFERENCE_BYTES {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(Error::new(ErrorKind::Limit, method, "memory")
        .expecting(format!("at most {} MiB of arrays on the CPU reference", mib(MAX_REFERENCE_BYTES)))
        .but_found(format!("{} MiB", mib(bytes))))
}

impl Measurement {
    fn new(
        method: &Method,
        subject: &Subject,
        output: &HostTensor,
        times: Times,
        first_call: Duration,
        error_of_budget: f64,
    ) -> Result<Self> {
        Ok(Self {
            gflops: subject.flops(method)?.map(|flops| times.gflops(flops)),
            times,
            first_call_ms: 1e3 * first_call.as_secs_f64(),
            memory: None,
            error_of_budget,
            off_exact: subject.distance(method.exact, output)?,
            is_exact: subject.is_exact(method)?,
            times_unfused: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use foveate::TensorDesc;

    use super::super::methods::METHODS;
    use super::*;

    /// Whether the reference takes the method of this name for the built-in activations' heads.
    fn fits(name: &str, time: usize) -> bool {
        let method = METHODS.iter().find(|method| method.name == name).unwrap();
        let desc = TensorDesc::f32([1, time, 4, 32]);
        let graph = graph(method, &[desc.clone(), desc.clone(), desc]).unwrap();
        check_reference_bytes(method.name, reference_bytes(&graph).unwrap()).is_ok()
    }

    #[test]
    fn a_row_is_left_when_its_time_is_over() {
        let (device, noise) = (Device::Cpu, Activations::noise([16, 2, 4]));
        let mut bench = Workbench::new(&device, &noise, DType::F32, Some(5));
        let prepared = bench.prepare(&METHODS[0], 16).unwrap();
        let subject = bench.subject(16).unwrap();
        let mut measure = |end| bench.measure(&prepared, &subject, Deadline(end));
        assert!(matches!(measure(Some(Instant::now())), Err(Failure::Late)));
        assert_eq!(measure(None).unwrap().times.runs, 5);
    }

    #[test]
    fn the_reference_is_bounded_by_its_arrays_and_not_by_its_tokens() {
        // Two arrays of 4 * 8192^2 scores are 4 GiB.
        assert!(fits("exact-unfused", 8192) && !fits("exact-unfused", 8193));
        assert!(fits("blocked-full", 1 << 17) && !fits("blocked-full", 1 << 24));
    }
}
