//! Graphs on devices through wgpu and on the CPU references, in f32 and in f64: states, updates, and graphs that are timed.

use std::sync::{Arc, OnceLock};

use foveate::gpu::{AdapterRequest, Context};
use foveate::runtime::{Device, Planned, Runner, State, Store};
use foveate::{DType, ErrorKind, Graph, HostTensor, Result, TensorDesc, ops};

fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

fn devices() -> [Device; 3] {
    [Device::Gpu(context().clone()), Device::Cpu, Device::CpuF64]
}

/// `sum += x` in a state, and `count += 1` in a parameter.
fn adding() -> Result<Graph> {
    let mut graph = Graph::new();
    let desc = TensorDesc::f32([1]);
    let (x, one) = (graph.input("x", desc.clone())?, graph.input("one", desc.clone())?);
    let (sum, count) = (graph.state("sum", desc.clone())?, graph.parameter("count", desc)?);
    let (more, counted) = (ops::add(&mut graph, sum, x)?, ops::add(&mut graph, count, one)?);
    graph.update(sum, more)?;
    graph.update(count, counted)?;
    graph.output("total", more)?;
    Ok(graph)
}

fn number(x: f32) -> HostTensor {
    HostTensor::f32([1], vec![x]).unwrap()
}

/// What `steps` runs of [`adding`] leave in the state and in the parameter, and the last output.
fn added(device: &Device, start: f32, x: f32, steps: usize) -> [f64; 3] {
    let weights = Store::upload(device, [Ok(("count".to_owned(), number(0.0)))]).unwrap();
    let mut runner = Runner::new(&weights);
    let graph = Arc::new(adding().unwrap());
    let mut state = State::new(device, &graph).unwrap();
    state.write(&[("sum", &number(start))]).unwrap();
    let mut total = 0.0;
    for _ in 0..steps {
        let inputs = [("x", &number(x)), ("one", &number(1.0))];
        let outputs = runner.run_stream((), &mut state, &inputs, || Ok(graph.clone())).unwrap();
        total = outputs["total"].to_f64()[0];
    }
    let count = runner.weights().read("count").unwrap().to_f64()[0];
    [state.store().read("sum").unwrap().to_f64()[0], count, total]
}

#[test]
fn every_device_keeps_states_and_updates() {
    for device in devices() {
        assert_eq!(added(&device, 0.5, 0.25, 4), [1.5, 4.0, 1.5], "{}", device.describe());
    }
}

#[test]
fn f64_keeps_what_f32_would_round_away() {
    // 2^-25 beside 1 is less than half a unit in the last place of f32; 64 of them are 16 units.
    let small = 2.0_f32.powi(-25);
    assert_eq!(added(&Device::Cpu, 1.0, small, 64)[0], 1.0);
    assert_eq!(added(&Device::CpuF64, 1.0, small, 64)[0], 1.0 + 2.0_f64.powi(-19));
}

#[test]
fn forks_and_resets_in_f64_are_streams_of_their_own() {
    let device = Device::CpuF64;
    let mut state = State::new(&device, &adding().unwrap()).unwrap();
    state.write(&[("sum", &number(3.0))]).unwrap();
    let fork = state.fork().unwrap();
    state.reset().unwrap();
    assert_eq!([&state, &fork].map(|it| it.store().read("sum").unwrap().to_f64()[0]), [0.0, 3.0]);
    assert_eq!(state.store().names(), ["sum"]);
    assert_eq!(state.store().descs(), [("sum".to_owned(), TensorDesc::f32([1]))]);
    assert!(matches!(state.store().device(), Device::CpuF64));
}

#[test]
fn a_stream_on_another_device_is_refused() {
    let graph = Arc::new(adding().unwrap());
    for (at, device) in devices().iter().enumerate() {
        let weights = Store::upload(device, [Ok(("count".to_owned(), number(0.0)))]).unwrap();
        let mut runner = Runner::new(&weights);
        for (other, elsewhere) in devices().iter().enumerate() {
            let mut state = State::new(elsewhere, &graph).unwrap();
            let inputs = [("x", &number(1.0)), ("one", &number(1.0))];
            let ran = runner.run_stream((), &mut state, &inputs, || Ok(graph.clone()));
            assert_eq!(ran.err().map(|error| error.kind()), (at != other).then_some(ErrorKind::Binding));
        }
    }
}

/// `y = x w`.
fn product() -> Graph {
    let mut graph = Graph::new();
    let desc = TensorDesc::f32([4, 4]);
    let (x, w) = (graph.input("x", desc.clone()).unwrap(), graph.parameter("w", desc).unwrap());
    let y = ops::matmul(&mut graph, x, w, &ops::Matmul::new()).unwrap();
    graph.output("y", y).unwrap();
    graph
}

#[test]
fn a_timed_graph_gives_its_outputs_and_how_long_it_took() {
    let x = HostTensor::f32([4, 4], (0..16).map(|i| i as f32).collect()).unwrap();
    let doubled = (0..16).map(|i| if i % 5 == 0 { 2.0 } else { 0.0 }).collect();
    let w = HostTensor::f32([4, 4], doubled).unwrap();
    let expected: Vec<f32> = (0..16).map(|i| 2.0 * i as f32).collect();
    for device in devices() {
        let weights = Store::upload(&device, [Ok(("w".to_owned(), w.clone()))]).unwrap();
        let planned = Planned::new(&weights, product()).unwrap();
        let is_gpu = device.context().is_some();
        assert_eq!(planned.graph().outputs().len(), 1);
        assert_eq!(planned.plan().map(|plan| plan.report()[0].op), is_gpu.then_some("matmul"));
        assert_eq!(planned.plan().is_some_and(|plan| plan.memory().total() > 0), is_gpu);

        let mut running = planned.start(&[("x", &x)]).unwrap();
        assert_eq!(running.read().unwrap()["y"].to_f32(), expected, "{}", device.describe());
        let timings = [running.time_one().unwrap(), running.run().unwrap()];
        assert!(timings.iter().all(|timing| !timing.wall.is_zero()));
        let has_clock = device.context().is_some_and(|context| context.caps().timestamps);
        assert!(timings.iter().all(|timing| timing.gpu.is_some() == has_clock));
        assert!(
            running.first_call() >= timings[0].wall || is_gpu,
            "the reference's first run is part of its first call"
        );
        assert_eq!(running.read().unwrap()["y"].to_f32(), expected, "{}", device.describe());
    }
}

#[test]
fn a_timed_graph_is_refused_what_it_lacks() {
    let x = HostTensor::f32([4, 4], vec![0.0; 16]).unwrap();
    for device in devices() {
        let weights = Store::zeros(&device, [("w", &TensorDesc::f32([4, 4]))]).unwrap();
        let planned = Planned::new(&weights, product()).unwrap();
        let kind =
            |planned: &Planned, inputs: &[(&str, &HostTensor)]| planned.start(inputs).unwrap_err().kind();
        assert_eq!(kind(&planned, &[]), ErrorKind::Binding);
        assert_eq!(kind(&planned, &[("z", &x)]), ErrorKind::Binding);
        assert_eq!(kind(&planned, &[("x", &number(0.0))]), ErrorKind::Shape);
        let without_weights = Planned::new(&Store::empty(&device), product()).unwrap();
        assert_eq!(kind(&without_weights, &[("x", &x)]), ErrorKind::Binding);
        let with_states = Planned::new(&weights, adding().unwrap()).unwrap();
        let inputs = [("x", &number(0.0)), ("one", &number(1.0))];
        assert_eq!(kind(&with_states, &inputs), ErrorKind::Binding);
    }
}

#[test]
fn devices_say_what_they_are() {
    let [gpu, cpu, exact] = devices();
    assert_eq!(gpu.describe(), context().describe());
    assert_eq!([cpu.describe(), exact.describe()], ["CPU reference (f32)", "CPU reference (f64)"]);
    assert_eq!([&gpu, &cpu, &exact].map(Device::is_planned), [true, false, false]);
    assert_eq!([&gpu, &cpu, &exact].map(Device::arithmetic), ["f32", "f32", "f64"]);
}

#[test]
fn f16_is_stored_where_the_device_can() {
    let adapter = foveate::gpu::adapters().into_iter().next().expect("there is an adapter");
    let (device, queue) =
        pollster::block_on(adapter.request_device(&foveate::wgpu::DeviceDescriptor::default()))
            .expect("every adapter grants the default limits");
    let least = Device::Gpu(Context::from_device(&device, &queue, adapter.get_info(), &[]));
    assert!(least.stores(DType::F32) && !least.stores(DType::F16));
    for device in devices() {
        assert!(device.stores(DType::F32));
        assert_eq!(device.stores(DType::F16), device.context().is_none_or(|context| context.caps().f16));
    }
}

#[test]
fn what_a_run_takes_is_known_before_anything_is_made() {
    for device in devices() {
        let weights = Store::zeros(&device, [("w", &TensorDesc::f32([4, 4]))]).unwrap();
        let planned = Planned::new(&weights, product()).unwrap();
        let number = if matches!(device, Device::CpuF64) { 8 } else { 4 };
        // The arrays of x and y; through wgpu, y once more for reading back, and what the program needs.
        let expected = match planned.plan().map(|plan| *plan.memory()) {
            Some(memory) => 3 * 64 + memory.working + memory.params,
            None => 2 * 16 * number,
        };
        assert_eq!(planned.bytes(), expected, "{}", device.describe());
        let mut runner = Runner::new(&weights);
        for _ in 0..2 {
            assert_eq!(runner.bytes((), || Ok(product())).unwrap(), expected, "{}", device.describe());
            let x = HostTensor::f32([4, 4], vec![1.0; 16]).unwrap();
            assert_eq!(runner.run((), &[("x", &x)], || Ok(product())).unwrap()["y"].to_f32(), [0.0; 16]);
        }

        // Of a chain two values live at once, on any device.
        let mut graph = Graph::new();
        let mut value = graph.input("x", TensorDesc::f32([1000])).unwrap();
        for _ in 0..5 {
            value = ops::scale(&mut graph, value, 2.0).unwrap();
        }
        graph.output("y", value).unwrap();
        let planned = Planned::new(&Store::empty(&device), graph).unwrap();
        if device.context().is_none() {
            assert_eq!(planned.bytes(), 2 * 1000 * number);
        }
    }
}
