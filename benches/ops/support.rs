//! Runs a graph on the best adapter and times it by the device's own clock where it has one.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use foveate::check::Random;
use foveate::gpu::{AdapterRequest, Context, Program, Session};
use foveate::ops::{self, Matmul};
use foveate::{Caps, DType, Graph, HostTensor, Plan, TensorDesc, Value};

pub(crate) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
        println!("{}", context.describe());
        context
    })
}

/// A group whose rows take a few seconds each, as kernels of milliseconds do not need more.
pub(crate) fn group<'c>(criterion: &'c mut Criterion, op: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(op);
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

/// The same device without the checks that wgpu adds to shaders.
pub(crate) fn unchecked() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        // SAFETY: only ops of the crate run here, on inputs that fit their contracts.
        #[expect(unsafe_code, reason = "the rows say that they are unchecked")]
        unsafe {
            context().without_runtime_checks()
        }
    })
}

/// Tokens of each sequence where an input is integers, which are ids of packed sequences.
const PACKED: usize = 64;

/// One row: the graph that `build` makes of random inputs, on `context` with kernels chosen by `caps`.
pub(crate) fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    device: (&Context, &Caps),
    throughput: Throughput,
    inputs: &[(&str, TensorDesc)],
    build: impl FnOnce(&mut Graph, &[Value]) -> foveate::Result<Value>,
) {
    bench_on(group, name, device, throughput, &random_inputs(inputs), build);
}

/// [`bench`] of a graph with several results.
pub(crate) fn bench_all(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    device: (&Context, &Caps),
    throughput: Throughput,
    inputs: &[(&str, TensorDesc)],
    build: impl FnOnce(&mut Graph, &[Value]) -> foveate::Result<Vec<Value>>,
) {
    bench_all_on(group, name, device, throughput, &random_inputs(inputs), build);
}

fn random_inputs<'n>(inputs: &[(&'n str, TensorDesc)]) -> Vec<(&'n str, HostTensor)> {
    let mut random = Random::new(0);
    inputs
        .iter()
        .map(|(name, desc)| {
            let element = |i: usize| match desc.dtype {
                DType::I32 => (i / PACKED) as f32,
                _ => random.next_f32(),
            };
            let elements: Vec<f32> = (0..desc.elements()).map(element).collect();
            let tensor = HostTensor::from_f32(desc.dtype, desc.shape.clone(), &elements);
            (*name, tensor.expect("as many as the shape has"))
        })
        .collect()
}

/// [`bench`] on given inputs.
pub(crate) fn bench_on(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    device: (&Context, &Caps),
    throughput: Throughput,
    inputs: &[(&str, HostTensor)],
    build: impl FnOnce(&mut Graph, &[Value]) -> foveate::Result<Value>,
) {
    bench_all_on(group, name, device, throughput, inputs, |graph, values| Ok(vec![build(graph, values)?]));
}

fn bench_all_on(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    (context, caps): (&Context, &Caps),
    throughput: Throughput,
    inputs: &[(&str, HostTensor)],
    build: impl FnOnce(&mut Graph, &[Value]) -> foveate::Result<Vec<Value>>,
) {
    let mut graph = Graph::new();
    let values: Vec<Value> = inputs
        .iter()
        .map(|(name, tensor)| graph.input(name, tensor.desc()).expect("the names differ"))
        .collect();
    let results = build(&mut graph, &values).expect("the graph can be recorded");
    for (i, result) in results.into_iter().enumerate() {
        graph.output(&format!("result {i}"), result).expect("the name is free");
    }
    let program =
        Plan::new(&graph, caps).and_then(|plan| Program::new(context, &plan)).expect("the program fits");
    let named: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut session = Session::new(&program, &named).expect("the buffers fit");
    group.throughput(throughput);
    group.bench_function(name, |bencher| {
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

/// The best adapter with the kernels it gets.
pub(crate) fn own() -> (&'static Context, &'static Caps) {
    (context(), context().caps())
}

/// What the host spends on a program of a hundred dispatches.
pub(crate) fn host(criterion: &mut Criterion) {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([16, 16])).expect("a fresh graph");
    let mut y = x;
    for _ in 0..50 {
        y = ops::matmul(&mut graph, y, x, &Matmul::new()).expect("square matrices");
        y = ops::softmax(&mut graph, y).expect("a matrix has a last axis");
    }
    graph.output("y", y).expect("the name is free");
    let caps = context().caps();
    let program =
        Plan::new(&graph, caps).and_then(|plan| Program::new(context(), &plan)).expect("the program fits");
    let device = context().device();
    let buffer = |usage| {
        device.create_buffer(&foveate::wgpu::BufferDescriptor {
            label: None,
            size: 1024,
            usage,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(foveate::wgpu::BufferUsages::STORAGE), buffer(foveate::wgpu::BufferUsages::STORAGE));
    let bindings = program
        .bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())])
        .expect("the buffers fit");
    let mut group = group(criterion, "host, 100 dispatches");
    group.bench_function("plan", |bencher| bencher.iter(|| Plan::new(&graph, caps).expect("the plan fits")));
    group.bench_function("encode", |bencher| {
        bencher.iter_custom(|runs| {
            let mut spent = Duration::ZERO;
            for _ in 0..runs {
                let mut encoder = device.create_command_encoder(&Default::default());
                let start = Instant::now();
                program.encode(&mut encoder, &bindings).expect("the bindings are the program's");
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}
