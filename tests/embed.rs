//! In an app's own device: default limits, offsets, shared encoders, wrong bindings, lost devices; and what reaches the app's
//! error handler, which is nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use foveate::gpu::{AdapterRequest, Context, Parameters, Program};
use foveate::kernel::{Caps, Tuning};
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::ops::{self, Matmul};
use foveate::{AdapterKind, DType, Error, ErrorKind, Graph, HostTensor, Plan, TensorDesc, wgpu};

/// A device as an app makes it, with nothing but WebGPU's default limits, and the count of errors that reached its handler.
struct App {
    device: wgpu::Device,
    queue: wgpu::Queue,
    context: Context,
    uncaptured: Arc<AtomicUsize>,
}

fn adapter() -> wgpu::Adapter {
    foveate::gpu::adapters().into_iter().next().unwrap_or_else(|| {
        panic!("{}", Context::headless(&AdapterRequest::Any).expect_err("there is no adapter"))
    })
}

impl App {
    fn new() -> Self {
        Self::on(&adapter())
    }

    fn on(adapter: &wgpu::Adapter) -> Self {
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: wgpu::Features::empty(),
            required_limits: wgpu::Limits::default(),
            ..Default::default()
        }))
        .expect("every adapter grants the default limits");
        let uncaptured = Arc::new(AtomicUsize::new(0));
        let count = uncaptured.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            eprintln!("uncaptured: {error}");
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let context = Context::from_device(&device, &queue, adapter.get_info(), &[]);
        Self { device, queue, context, uncaptured }
    }

    fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    fn storage(&self, size: u64) -> wgpu::Buffer {
        use wgpu::BufferUsages as Usage;
        self.buffer(size, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    fn read(&self, buffer: &wgpu::Buffer) -> Vec<f32> {
        let staging = self.buffer(buffer.size(), wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, None);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("the buffer maps"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
        bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..).expect("the buffer is mapped"))
    }

    fn assert_quiet(&self) {
        assert_eq!(self.uncaptured.load(Ordering::Relaxed), 0, "errors reached the app's handler");
    }
}

fn scaling(context: &Context, elements: usize, factor: f32) -> Program {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([elements])).unwrap();
    let y = ops::scale(&mut graph, x, factor).unwrap();
    graph.output("y", y).unwrap();
    Program::new(context, &Plan::new(&graph, context.caps()).unwrap()).unwrap()
}

fn attention_graph(dtype: DType, time: usize) -> Graph {
    let mut graph = Graph::new();
    let [q, k, v] =
        ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::new(dtype, [1, time, 2, 32])).unwrap());
    let out = blocked(&mut graph, q, k, v, &Blocked::new().mask(Mask::causal())).unwrap();
    graph.output("out", out).unwrap();
    graph
}

/// What such a device computes is tested with every conformance case, in `tests/conformance`.
#[test]
fn a_device_with_default_limits_has_default_caps() {
    let app = App::new();
    let caps = app.context.caps();
    let least = Caps::webgpu_default();
    assert_eq!(caps.shortfall(&least), None);
    assert_eq!(least.shortfall(caps), None, "{caps:?}");
    assert_eq!((caps.f16, caps.timestamps, caps.subgroup_size), (false, false, None));
}

#[test]
fn two_programs_and_the_apps_own_copies_share_one_encoder() {
    let app = App::new();
    let (double, negate) = (scaling(&app.context, 300, 2.0), scaling(&app.context, 300, -1.0));
    // Values at aligned offsets of larger buffers.
    let (first, second, third) = (app.storage(4096), app.storage(4096), app.storage(1200));
    let input: Vec<f32> = (0..300).map(|i| i as f32).collect();
    app.queue.write_buffer(&first, 256, bytemuck::cast_slice(&input));
    let range = |buffer, offset| wgpu::BufferBinding { buffer, offset, size: None };
    let bindings = double.bind(&[("x", range(&first, 256)), ("y", range(&second, 512))]).unwrap();
    let negated = negate.bind(&[("x", range(&second, 512)), ("y", range(&third, 0))]).unwrap();

    let mut encoder = app.device.create_command_encoder(&Default::default());
    double.encode(&mut encoder, &bindings).unwrap();
    negate.encode(&mut encoder, &negated).unwrap();
    encoder.copy_buffer_to_buffer(&third, 0, &first, 256, 1200);
    double.encode(&mut encoder, &bindings).unwrap();
    negate.encode(&mut encoder, &negated).unwrap();
    app.queue.submit([encoder.finish()]);
    assert_eq!(app.read(&third), input.iter().map(|x| 4.0 * x).collect::<Vec<_>>());
    assert_eq!(app.read(&second)[..128], [0.0; 128], "what lies before the bound range is untouched");
    app.assert_quiet();
}

fn refusal(program: &Program, buffers: &[(&str, wgpu::BufferBinding<'_>)], sentence: &str) {
    let error = program.bind(buffers).expect_err(sentence);
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Binding, sentence));
}

#[test]
fn bindings_that_do_not_fit_are_refused() {
    let app = App::new();
    let program = scaling(&app.context, 64, 2.0);
    let (x, y) = (app.storage(256), app.storage(1024));
    let whole = wgpu::Buffer::as_entire_buffer_binding;
    let range =
        |buffer, offset, size| wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(size) };

    refusal(&program, &[("x", whole(&x))], "bind: `y`: expected a buffer for f32 [64], found none");
    refusal(
        &program,
        &[("x", whole(&x)), ("y", whole(&y)), ("z", whole(&y))],
        "bind: `z`: expected x, y, found an unknown name",
    );
    refusal(
        &program,
        &[("x", whole(&x)), ("y", whole(&y)), ("x", whole(&y))],
        "bind: `x`: expected one buffer, found a second one",
    );
    refusal(
        &program,
        &[("x", whole(&x)), ("y", range(&y, 0, 128))],
        "bind: `y`: expected 256 bytes for f32 [64], found 128",
    );
    refusal(
        &program,
        &[("x", whole(&x)), ("y", range(&y, 1024, 0))],
        "bind: `y`: expected 256 bytes for f32 [64], found 0",
    );
    refusal(
        &program,
        &[("x", whole(&x)), ("y", range(&y, 100, 256))],
        "bind: `y`: expected an offset divisible by 256, found 100",
    );
    let uniform = app.buffer(256, wgpu::BufferUsages::UNIFORM);
    refusal(
        &program,
        &[("x", whole(&uniform)), ("y", whole(&y))],
        "bind: `x`: expected a buffer with usage BufferUsages(STORAGE), found BufferUsages(UNIFORM)",
    );
    refusal(
        &program,
        &[("x", range(&y, 0, 256)), ("y", range(&y, 256, 256))],
        "bind: `y`: expected a buffer that is bound nowhere else, as it is written, found the buffer of `x`",
    );
    app.assert_quiet();
}

#[test]
fn bindings_of_another_program_or_device_are_refused() {
    let adapter = adapter();
    let (app, other) = (App::on(&adapter), App::on(&adapter));
    let (program, second) = (scaling(&app.context, 64, 2.0), scaling(&app.context, 64, 2.0));
    let (x, y) = (app.storage(256), app.storage(256));
    let bindings =
        program.bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())]).unwrap();
    let mut encoder = app.device.create_command_encoder(&Default::default());
    let error = second.encode(&mut encoder, &bindings).unwrap_err();
    assert_eq!(
        error.to_string(),
        "encode: bindings: expected bindings of this program, found another program's"
    );

    let foreign = other.storage(256);
    let error = program
        .bind(&[("x", foreign.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())])
        .expect_err("a buffer of another device");
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    app.assert_quiet();
    other.assert_quiet();
}

/// What the doc of [`Program::encode`] says: wgpu tells nobody of which device an encoder is until it is finished.
#[test]
fn an_encoder_of_another_device_is_told_to_that_device_when_it_is_finished() {
    let adapter = adapter();
    let (app, other) = (App::on(&adapter), App::on(&adapter));
    let program = scaling(&app.context, 64, 2.0);
    let (x, y) = (app.storage(256), app.storage(256));
    let bindings =
        program.bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())]).unwrap();
    let scope = other.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let mut encoder = other.device.create_command_encoder(&Default::default());
    program.encode(&mut encoder, &bindings).unwrap();
    let _ = encoder.finish();
    let error = pollster::block_on(scope.pop()).expect("the encoder is of another device");
    assert!(matches!(error, wgpu::Error::Validation { .. }), "{error}");
    app.assert_quiet();
    other.assert_quiet();
}

#[test]
fn inputs_of_a_run_that_do_not_fit_are_refused() {
    let app = App::new();
    let program = scaling(&app.context, 4, 2.0);
    let right = HostTensor::f32([4], vec![1.0; 4]).unwrap();
    let wrong = HostTensor::f32([5], vec![1.0; 5]).unwrap();
    let sentence = |inputs: &[(&str, &HostTensor)]| program.run(inputs).unwrap_err().to_string();
    assert_eq!(sentence(&[]), "run: input `x`: expected f32 [4], found nothing");
    assert_eq!(sentence(&[("x", &wrong)]), "run: input `x`: expected f32 [4], found f32 [5]");
    assert_eq!(sentence(&[("x", &right), ("x", &right)]), "run: input `x`: expected f32 [4], found it twice");
    assert_eq!(sentence(&[("z", &right)]), "run: input `z`: expected one of: x, found an unknown name");
}

#[test]
fn a_plan_for_more_than_the_device_offers_is_refused() {
    let app = App::new();
    let cramped = Caps { max_workgroup_bytes: 512, ..app.context.caps().clone() };
    let graph = attention_graph(DType::F32, 4);
    let result = Plan::new(&graph, &cramped).and_then(|plan| Program::new(&app.context, &plan));
    assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(ErrorKind::Limit));
    app.assert_quiet();
}

#[test]
fn a_plan_for_features_the_device_lacks_is_refused() {
    let app = App::new();
    let refused = |graph: &Graph, caps: &Caps| {
        let plan = Plan::new(graph, caps).unwrap();
        let error = Program::new(&app.context, &plan).expect_err("the device lacks what the shaders need");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        plan
    };
    let with_f16 = Caps { f16: true, ..app.context.caps().clone() };
    let plan = refused(&attention_graph(DType::F16, 4), &with_f16);
    assert!(plan.shaders().iter().any(|shader| shader.uses_f16()));

    let with_subgroups = Caps {
        adapter: AdapterKind::Cpu,
        subgroup_size: Some(8),
        tuning: Tuning::for_adapter(AdapterKind::Cpu, Some(8)),
        ..app.context.caps().clone()
    };
    let plan = refused(&attention_graph(DType::F32, 100), &with_subgroups);
    assert!(plan.shaders().iter().any(|shader| shader.subgroup_size == Some(8)));
    app.assert_quiet();
}

#[test]
fn an_adapter_name_that_matches_nothing_is_an_error_that_lists_what_there_is() {
    let error = Context::headless(&AdapterRequest::Named("no such adapter".into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoAdapter);
    assert!(error.to_string().contains("`no such adapter`"), "{error}");
    assert!(error.found().starts_with("only: "), "{error}");
    let other = if foveate::gpu::adapters()[0].get_info().device_type == wgpu::DeviceType::Cpu {
        AdapterKind::Discrete
    } else {
        AdapterKind::Virtual
    };
    assert!(Context::headless(&AdapterRequest::Kind(other)).is_err_and(|e| e.kind() == ErrorKind::NoAdapter));
}

#[test]
fn a_lost_device_is_an_error_of_every_call() {
    let app = App::new();
    let program = scaling(&app.context, 4, 2.0);
    let plan = program.plan().clone();
    let input = HostTensor::f32([4], vec![1.0; 4]).unwrap();
    app.device.destroy();
    let lost = |result: Result<(), Error>| {
        let error = result.expect_err("the device is gone");
        assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
    };
    lost(program.run(&[("x", &input)]).map(drop));
    lost(Program::new(&app.context, &plan).map(drop));
    lost(Parameters::upload(&app.context, [Ok(("w".to_owned(), input.clone()))]).map(drop));
    app.assert_quiet();
}

#[test]
fn a_session_on_a_device_lost_between_runs_is_an_error() {
    let app = App::new();
    let program = scaling(&app.context, 4, 2.0);
    let input = HostTensor::f32([4], vec![1.0; 4]).unwrap();
    let mut session = foveate::gpu::Session::new(&program, &[("x", &input)]).unwrap();
    session.run().unwrap();
    app.device.destroy();
    assert_eq!(session.run().unwrap_err().kind(), ErrorKind::DeviceLost);
    assert_eq!(session.read().unwrap_err().kind(), ErrorKind::DeviceLost);
    app.assert_quiet();
}

#[test]
fn encoding_a_hundred_dispatches_takes_under_a_millisecond() {
    let app = App::new();
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([16, 16])).unwrap();
    let mut y = x;
    for _ in 0..50 {
        y = ops::matmul(&mut graph, y, x, &Matmul::new()).unwrap();
        y = ops::softmax(&mut graph, y).unwrap();
    }
    graph.output("y", y).unwrap();
    let program = Program::new(&app.context, &Plan::new(&graph, app.context.caps()).unwrap()).unwrap();
    assert_eq!(program.plan().commands().len(), 100);
    let (x, y) = (app.storage(1024), app.storage(1024));
    let bindings =
        program.bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())]).unwrap();
    let fastest = (0..10)
        .map(|_| {
            let mut encoder = app.device.create_command_encoder(&Default::default());
            let start = Instant::now();
            program.encode(&mut encoder, &bindings).unwrap();
            let time = start.elapsed();
            app.queue.submit([encoder.finish()]);
            time
        })
        .min();
    println!("encoded in {fastest:?}");
    assert!(fastest.is_some_and(|time| time.as_micros() < 1000), "{fastest:?}");
}
