//! Benchmarks of the ops: the rows of every entry of the catalogue. `cargo bench`, or `cargo bench -- matmul` for those with that in
//! their name. `benches/README.md` says how to read them.

mod host;
mod rate;

use std::sync::OnceLock;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput};
use foveate::Plan;
use foveate::check::{Bench, Work};
use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::CATALOGUE;

use crate::rate::DeviceTime;

fn main() {
    let mut criterion = Criterion::default().with_measurement(DeviceTime).configure_from_args();
    for entry in CATALOGUE {
        let benches = (entry.benches)();
        if benches.is_empty() {
            continue;
        }
        let mut group = group(&mut criterion, entry.name);
        for bench in benches {
            time(&mut group, &bench);
        }
        group.finish();
    }
    host::bench(&mut criterion);
    criterion.final_summary();
}

/// A group whose rows take a few seconds each, as kernels of milliseconds do not need more.
fn group<'c>(criterion: &'c mut Criterion<DeviceTime>, name: &str) -> BenchmarkGroup<'c, DeviceTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

/// The best adapter.
fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
        println!("{}", context.describe());
        context
    })
}

/// The same device without the checks that wgpu adds to shaders.
fn unchecked() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        // SAFETY: only ops of the crate run here, on inputs that fit their contracts.
        #[expect(unsafe_code, reason = "the rows say that they are unchecked")]
        unsafe {
            context().without_runtime_checks()
        }
    })
}

/// Times one row by the device's own clock where it has one.
fn time(group: &mut BenchmarkGroup<'_, DeviceTime>, bench: &Bench) {
    if !bench.runs_on(context().caps()) {
        println!("{bench}: this device has no f16");
        return;
    }
    group.throughput(match bench.work() {
        Work::Bytes(bytes) => Throughput::BytesDecimal(bytes),
        Work::Flops(flops) => Throughput::Elements(flops),
    });
    // Made for the rows that the command line's filter takes, and once.
    let mut session = None;
    group.bench_function(bench.label(), |bencher| {
        let session = session
            .get_or_insert_with(|| self::session(bench).unwrap_or_else(|error| panic!("{bench}: {error}")));
        bencher.iter_custom(|runs| {
            (0..runs)
                .map(|_| {
                    let timing = session.run().expect("the device runs");
                    timing.gpu.unwrap_or(timing.wall)
                })
                .sum()
        });
    });
}

fn session(bench: &Bench) -> foveate::Result<Session> {
    let context = if bench.is_unchecked() { unchecked() } else { context() };
    let problem = bench.problem()?;
    let plan = Plan::new(&problem.graph, &bench.caps_on(context.caps()))?;
    Session::new(&Program::new(context, &plan)?, &problem.inputs())
}
