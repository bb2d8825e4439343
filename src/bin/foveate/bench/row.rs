//! One row: a method at a length, verified and then timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foveate::gpu::{Context, Program, Session};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, cpu};
use serde::Serialize;

use crate::device::Device;

use super::activations::{Activations, Inputs, NAMES, rows_of};
use super::measure::{self, Times};
use super::methods::{Build, EXACT, Method};
use super::verify::{Checked, Expected, Failure, case, conforms};

/// Queries whose rows are verified at the full length.
const VERIFIED_ROWS: usize = 32;

/// Queries, spread evenly over time, by which the distance from exact attention is measured.
const SAMPLED_ROWS: usize = 32;

/// Tokens of the short call that is verified in all rows.
const PREFIX: usize = 512;

/// The longest input of the CPU reference, which needs memory and minutes in the square of it.
const MAX_CPU_TIME: usize = 16_384;

/// What a row found out.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measurement {
    #[serde(flatten)]
    pub(super) times: Times,
    /// Creating pipelines, buffers and bind groups, and the first run.
    pub(super) first_call_ms: f64,
    pub(super) gflops: f64,
    pub(super) memory: Option<Memory>,
    /// The worst of the verified rows, in units of the budget.
    pub(super) error_of_budget: f64,
    pub(super) off_exact: Distance,
    /// The baseline's time at the same length over this one.
    pub(super) times_unfused: Option<f64>,
}

/// What the plan takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    pub(super) total_bytes: u64,
    pub(super) working_bytes: u64,
}

/// How far a result lies from exact full attention.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Distance {
    pub(super) max_abs: f64,
    /// Over the largest exact value.
    pub(super) relative: f64,
}

/// A length's inputs, and exact attention for some of its queries.
#[derive(Debug)]
pub(super) struct Subject {
    time: usize,
    inputs: Inputs,
    sampled: Vec<usize>,
    exact: HostTensor,
}

impl Subject {
    pub(super) fn new(activations: &Activations, time: usize, dtype: DType) -> Result<Self> {
        let inputs = activations.inputs(time, dtype)?;
        let count = SAMPLED_ROWS.min(time);
        let sampled: Vec<usize> = (0..count).map(|i| i * (time - 1) / (count - 1).max(1)).collect();
        // Rows of full attention do not depend on each other. Widened, so that the exact values are not rounded to f16.
        let few = inputs.with_queries(&sampled)?.widened()?;
        let exact = reference(&graph(EXACT.build, &few.descs())?, &few)?;
        Ok(Self { time, inputs, sampled, exact })
    }

    /// The last queries, whose rows are verified.
    fn last(&self) -> Vec<usize> {
        (self.time.saturating_sub(VERIFIED_ROWS)..self.time).collect()
    }

    fn distance(&self, output: &HostTensor) -> Result<Distance> {
        let found = rows_of(output, &self.sampled)?.to_f64();
        let exact = self.exact.to_f64();
        let max_abs = found.iter().zip(&exact).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        let largest = exact.iter().copied().map(f64::abs).fold(0.0, f64::max);
        Ok(Distance { max_abs, relative: if max_abs == 0.0 { 0.0 } else { max_abs / largest } })
    }

    fn flops(&self, method: &Method) -> f64 {
        let dims = self.inputs.0[2].shape().dims();
        let (heads, channels) = (dims[2] as f64, dims[3] as f64);
        4.0 * heads * channels * (method.pairs)(self.time as u64) as f64
    }
}

/// What the graph of a method hands out.
const OUTPUT: &str = "out";

fn graph(build: Build, descs: &[TensorDesc; 3]) -> Result<Graph> {
    let mut graph = Graph::new();
    let [query, key, value] = descs;
    let qkv = [
        graph.input(NAMES[0], query.clone())?,
        graph.input(NAMES[1], key.clone())?,
        graph.input(NAMES[2], value.clone())?,
    ];
    let output = build(&mut graph, qkv)?;
    graph.output(OUTPUT, output)?;
    Ok(graph)
}

fn reference(graph: &Graph, inputs: &Inputs) -> Result<HostTensor> {
    only_output(cpu::run(graph, &inputs.named())?)
}

fn only_output(mut outputs: BTreeMap<String, HostTensor>) -> Result<HostTensor> {
    outputs
        .remove(OUTPUT)
        .ok_or_else(|| Error::new(ErrorKind::Binding, "bench", "output").expecting(OUTPUT).but_found("none"))
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
    graph: Graph,
    plan: Option<Plan>,
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

    /// Plans `method` for `time` tokens. Fails when that exceeds a limit of the device.
    pub(super) fn prepare(&self, method: &'static Method, time: usize) -> Result<Prepared> {
        let desc = self.activations.desc(time, self.dtype);
        let graph = graph(method.build, &[desc.clone(), desc.clone(), desc])?;
        let plan = match self.device {
            Device::Gpu(context) => Some(Plan::new(&graph, context.caps())?),
            Device::Cpu if time > MAX_CPU_TIME => {
                return Err(Error::new(ErrorKind::Limit, method.name, "length")
                    .expecting(format!("at most {MAX_CPU_TIME} tokens on the CPU reference"))
                    .but_found(time));
            }
            Device::Cpu => None,
        };
        Ok(Prepared { method, graph, plan })
    }

    /// The inputs for `time` tokens, which some method has been prepared for.
    pub(super) fn subject(&self, time: usize) -> Result<Subject> {
        Subject::new(self.activations, time, self.dtype)
    }

    /// Verifies and times `prepared` on `subject`.
    pub(super) fn measure(&mut self, prepared: &Prepared, subject: &Subject) -> Checked<Measurement> {
        match (self.device, &prepared.plan) {
            (Device::Gpu(context), Some(plan)) => {
                self.measure_on_gpu(context, prepared.method, plan, subject)
            }
            _ => self.measure_on_cpu(prepared, subject),
        }
    }

    fn measure_on_gpu(
        &mut self,
        context: &Context,
        method: &'static Method,
        plan: &Plan,
        subject: &Subject,
    ) -> Checked<Measurement> {
        // Before the verification, which would leave warm pipelines behind.
        let start = Instant::now();
        let program = Program::new(context, plan)?;
        let mut session = Session::new(&program, &subject.inputs.named())?;
        session.run()?;
        let first_call = start.elapsed();
        let output = only_output(session.read()?)?;

        let prefix = self.verify_prefix(context, method)?;
        let last = subject.last();
        let expected =
            Expected::of(&case(method, subject.inputs.with_queries(&last)?), context, context.caps())?;
        let rows = expected.compare(&rows_of(&output, &last)?)?;

        let times = measure::times(self.repeats, || session.run())?;
        let memory = plan.memory();
        Ok(Measurement {
            memory: Some(Memory { total_bytes: memory.total(), working_bytes: memory.working }),
            ..Measurement::new(method, subject, &output, times, first_call, prefix.max(rows))?
        })
    }

    /// The short call of `method` on a device, run once for all lengths.
    fn verify_prefix(&mut self, context: &Context, method: &'static Method) -> Checked<f64> {
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

    fn measure_on_cpu(&self, prepared: &Prepared, subject: &Subject) -> Checked<Measurement> {
        let Prepared { method, graph: full, .. } = prepared;
        let (output, first) = measure::on_host(|| reference(full, &subject.inputs))?;
        // The reference has nothing to be compared with but itself, called with fewer queries.
        let last = subject.last();
        let few = subject.inputs.with_queries(&last)?;
        if reference(&graph(method.build, &few.descs())?, &few)? != rows_of(&output, &last)? {
            return Err(Failure::Wrong(
                "the last queries alone give other rows than all queries together".into(),
            ));
        }
        let times = measure::times(self.repeats, || {
            measure::on_host(|| reference(full, &subject.inputs)).map(|(_, timing)| timing)
        })?;
        Ok(Measurement::new(method, subject, &output, times, first.wall, 0.0)?)
    }
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
            gflops: times.gflops(subject.flops(method)),
            times,
            first_call_ms: 1e3 * first_call.as_secs_f64(),
            memory: None,
            error_of_budget,
            off_exact: subject.distance(output)?,
            times_unfused: None,
        })
    }
}
