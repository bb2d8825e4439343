//! Runs that look at their numbers: what they find, which step they name, and what they leave as it was.

use std::sync::{Arc, OnceLock};

use foveate::gpu::{AdapterRequest, Context, Parameters, Program, Session};
use foveate::plan::{Command, Watch};
use foveate::runtime::{Device, Planned, Runner, State, Store};
use foveate::{Caps, DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, ops};

fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

fn devices() -> [Device; 3] {
    [Device::Gpu(context().clone()), Device::Cpu, Device::CpuF64]
}

fn tensor(dtype: DType, dims: &[usize], numbers: &[f32]) -> HostTensor {
    HostTensor::from_f32(dtype, dims, numbers).unwrap()
}

/// `y = (x w) / 2` and `z = layer norm of x w`, in `dtype`.
fn projected(dtype: DType) -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::new(dtype, [3, 4])).unwrap();
    let w = graph.parameter("w", TensorDesc::new(dtype, [4, 4])).unwrap();
    let product = ops::matmul(&mut graph, x, w, &ops::Matmul::new()).unwrap();
    let half = ops::scale(&mut graph, product, 0.5).unwrap();
    graph.output("y", half).unwrap();
    let squared = ops::multiply(&mut graph, product, product).unwrap();
    graph.output("z", squared).unwrap();
    graph
}

/// What [`projected`] says on `device` for weights of `w` and inputs of `x` but for one element.
fn run_projected(device: &Device, dtype: DType, w: f32, x: [f32; 2]) -> Result<()> {
    let mut numbers = [x[0]; 12];
    numbers[6] = x[1];
    let weights = tensor(dtype, &[4, 4], &[w; 16]);
    let store = Store::upload(device, [Ok(("w".to_owned(), weights))]).unwrap();
    let mut runner = Runner::new(&store).watching(Watch::Outputs);
    let inputs = tensor(dtype, &[3, 4], &numbers);
    runner.run((), &[("x", &inputs)], || Ok(projected(dtype))).map(|_| ())
}

#[track_caller]
fn assert_names(ran: Result<()>, op: &str, argument: &str, parts: &[&str]) -> Error {
    let error = ran.expect_err("a number is not finite");
    assert_eq!(error.kind(), ErrorKind::NotFinite, "{error}");
    assert_eq!((error.op(), error.argument()), (op, argument), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    error
}

#[test]
fn the_step_that_overflows_is_named() {
    for device in devices() {
        run_projected(&device, DType::F32, 1.0, [1.0, 2.0]).unwrap();
        if device.stores(DType::F16) {
            run_projected(&device, DType::F16, 1.0, [1.0, 2.0]).unwrap();
        }
        // The references in f64 round nothing between the steps: only the results do not fit f32.
        if matches!(device, Device::CpuF64) {
            let ran = run_projected(&device, DType::F32, 1e30, [1.0, 1e10]);
            assert_names(
                ran,
                "run",
                "output `y`",
                &["an infinity at [1, 0] of f32 [3, 4]", "a second run that looked at every step"],
            );
            continue;
        }
        let ran = run_projected(&device, DType::F32, 1e30, [1.0, 1e10]);
        let found = ["an infinity at [1, 0] of its result, f32 [3, 4]", "go up to 1.000e30"];
        assert_names(ran, "matmul", "step 1 of 3 (with `w`)", &found);
        // 1e30 squared.
        let ran = run_projected(&device, DType::F32, 1e30, [0.0, 1.0]);
        assert_names(ran, "elementwise/multiply", "step 3 of 3", &["at [1, 0]", "go up to 1.000e30"]);
        if device.stores(DType::F16) {
            let ran = run_projected(&device, DType::F16, 1000.0, [1.0, 200.0]);
            assert_names(ran, "matmul", "step 1 of 3 (with `w`)", &["f16 [3, 4]", "65504", "1.000e3"]);
        }
    }
}

#[test]
fn what_was_given_is_named_before_what_comes_of_it() {
    for device in devices() {
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let ran = run_projected(&device, DType::F32, broken, [1.0, 2.0]);
            assert_names(ran, "run", "parameter `w`", &["at [0, 0] of f32 [4, 4]"]);
            let ran = run_projected(&device, DType::F32, 1.0, [1.0, broken]);
            assert_names(ran, "run", "input `x`", &["at [1, 2] of f32 [3, 4]"]);
        }
    }
}

#[test]
fn nothing_is_looked_at_unless_asked_for() {
    for device in devices() {
        let store =
            Store::upload(&device, [Ok(("w".to_owned(), tensor(DType::F32, &[4, 4], &[1e30; 16])))]).unwrap();
        let x = tensor(DType::F32, &[3, 4], &[1e30; 12]);
        let outputs = Runner::new(&store).run((), &[("x", &x)], || Ok(projected(DType::F32))).unwrap();
        assert!(outputs["y"].to_f32().iter().all(|x| !x.is_finite()));
    }
}

/// `sum += x`, a stream's; `scaled = x * 1e30` is what is handed out.
fn adding() -> Graph {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2])).unwrap();
    let sum = graph.state("sum", TensorDesc::f32([2])).unwrap();
    let more = ops::add(&mut graph, sum, x).unwrap();
    graph.update(sum, more).unwrap();
    let scaled = ops::scale(&mut graph, x, 1e30).unwrap();
    graph.output("scaled", scaled).unwrap();
    graph
}

#[test]
fn a_stream_that_read_broken_numbers_is_refused_until_it_is_reset() {
    for device in devices() {
        let mut runner = Runner::new(&Store::empty(&device)).watching(Watch::Outputs);
        let mut state = State::new(&device, &adding()).unwrap();
        let mut run = |state: &mut State, x: f32| {
            let x = tensor(DType::F32, &[2], &[1.0, x]);
            runner.run_stream((), state, &[("x", &x)], || Ok(adding())).map(|_| ())
        };
        run(&mut state, 2.0).unwrap();
        let error = run(&mut state, 1e30).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFinite);
        if device.context().is_some() {
            assert_names(Err(error), "elementwise/scale", "step 2 of 2", &["can go on from a reset"]);
            let mut fork = state.fork().unwrap();
            for state in [&mut state, &mut fork] {
                assert_names(run(state, 1.0), "run", "state", &["a failed run has updated"]);
            }
            fork.write(&[("sum", &tensor(DType::F32, &[2], &[4.0, 4.0]))]).unwrap();
            run(&mut fork, 1.0).unwrap();
            assert_eq!(fork.store().read("sum").unwrap().to_f32(), [5.0, 5.0]);
            state.reset().unwrap();
            run(&mut state, 1.0).unwrap();
            assert_eq!(state.store().read("sum").unwrap().to_f32(), [1.0, 1.0]);
        } else {
            // Nothing was updated.
            run(&mut state, 2.0).unwrap();
            assert_eq!(state.store().read("sum").unwrap().to_f32(), [2.0, 4.0]);
        }
    }
}

#[test]
fn updates_are_looked_at_where_results_are() {
    for device in devices() {
        for (watch, refused) in [(Watch::Outputs, false), (Watch::Results, true), (Watch::Steps, true)] {
            let mut runner = Runner::new(&Store::empty(&device)).watching(watch);
            let mut state = State::new(&device, &adding()).unwrap();
            state.write(&[("sum", &tensor(DType::F32, &[2], &[0.0, f32::MAX]))]).unwrap();
            let x = tensor(DType::F32, &[2], &[f32::MIN_POSITIVE, f32::MIN_POSITIVE]);
            runner.run_stream((), &mut state, &[("x", &x)], || Ok(adding())).unwrap();
            state.write(&[("sum", &tensor(DType::F32, &[2], &[0.0, f32::NAN]))]).unwrap();
            let ran = runner.run_stream((), &mut state, &[("x", &x)], || Ok(adding()));
            assert_eq!(ran.is_err(), refused, "{watch:?} on {}", device.describe());
            if let Err(error) = ran {
                // A device has updated the state by the time that a second run looks for the step, and cannot tell that it was broken before.
                let (argument, part) = match (&device, watch) {
                    (Device::Gpu(_), Watch::Results) => ("update of `sum`", "left in state `sum`"),
                    _ => ("state `sum`", "NaN"),
                };
                assert_names(Err(error), "run", argument, &["NaN at [1] of f32 [2]", part]);
            }
        }
    }
}

/// An output that may hold infinities, beside one that may not.
fn logarithms(x: &mut Graph, declared: bool) -> Result<()> {
    let value: Value = x.input("x", TensorDesc::f32([3]))?;
    let ln = ops::log(x, value)?;
    if declared { x.output_with_infinities("ln", ln) } else { x.output("ln", ln) }
}

#[test]
fn infinities_are_let_through_where_an_output_is_declared_to_hold_them() {
    for device in devices() {
        let run = |declared: bool, x: f32| {
            let mut graph = Graph::new();
            logarithms(&mut graph, declared)?;
            let x = tensor(DType::F32, &[3], &[1.0, x, 1.0]);
            let planned = Planned::watching(&Store::empty(&device), graph, Watch::Outputs)?;
            planned.start(&[("x", &x)])?.read()
        };
        assert_eq!(run(true, 0.0).unwrap()["ln"].to_f32()[1], f32::NEG_INFINITY, "{}", device.describe());
        assert_names(run(false, 0.0).map(|_| ()), "elementwise/log", "step 1 of 1", &["an infinity at [1]"]);
        for declared in [true, false] {
            assert_names(run(declared, f32::NAN).map(|_| ()), "run", "input `x`", &["NaN at [1]"]);
        }
    }
}

#[test]
fn a_parameter_that_an_update_breaks_was_not_broken_before() {
    let numbers = tensor(DType::F32, &[4], &[f32::MAX, 2.0, 3.0, 4.0]);
    // In f64 the sum is finite.
    for device in devices().into_iter().filter(|device| !matches!(device, Device::CpuF64)) {
        let store = Store::upload(&device, [Ok(("w".to_owned(), numbers.clone()))]).unwrap();
        let mut runner = Runner::new(&store).watching(Watch::Results);
        let record = || {
            let mut graph = Graph::new();
            let w = graph.parameter("w", TensorDesc::f32([4]))?;
            let more = graph.input("more", TensorDesc::f32([4]))?;
            let sum = ops::add(&mut graph, w, more)?;
            graph.update(w, sum)?;
            Ok(graph)
        };
        let ran = runner.run((), &[("more", &numbers)], record).map(|_| ());
        match device {
            Device::Gpu(_) => {
                assert_names(ran, "run", "update of `w`", &["an infinity at [0]", "left in parameter `w`"])
            }
            _ => assert_names(ran, "elementwise/add", "step 1 of 1 (with `w`)", &["an infinity at [0]"]),
        };
    }
}

#[test]
fn looking_at_steps_changes_no_parameter() {
    let mut graph = Graph::new();
    let w = graph.parameter("w", TensorDesc::f32([4])).unwrap();
    let gradient = graph.input("gradient", TensorDesc::f32([4])).unwrap();
    let sum = ops::optimizer::accumulate(&mut graph, w, gradient).unwrap();
    graph.update(w, sum).unwrap();
    let caps = context().caps();
    let in_place =
        |plan: &Plan| plan.commands().iter().all(|command| matches!(command, Command::Dispatch { .. }));
    assert!(in_place(&Plan::watching(&graph, caps, Watch::Results).unwrap()));

    let numbers = tensor(DType::F32, &[4], &[1.0, 2.0, 3.0, 4.0]);
    let weights = Parameters::upload(context(), [Ok(("w".to_owned(), numbers.clone()))]).unwrap();
    let run = |watch, gradient: f32| {
        let gradient = tensor(DType::F32, &[4], &[gradient; 4]);
        let program = Program::new(context(), &Plan::watching(&graph, caps, watch).unwrap()).unwrap();
        let mut session = Session::with_parameters(&program, &weights, &[("gradient", &gradient)]).unwrap();
        let ran = session.run().map(|_| ());
        (ran, weights.download(context(), "w").unwrap().to_f32())
    };
    for (gradient, broken) in [(1.0, false), (f32::INFINITY, true)] {
        let (ran, left) = run(Watch::Steps, gradient);
        assert_eq!((ran.is_err(), left), (broken, numbers.to_f32()));
    }
    assert_eq!(run(Watch::Results, 1.0).1, [2.0, 3.0, 4.0, 5.0]);
    let (ran, left) = run(Watch::Results, f32::INFINITY);
    assert_names(ran, "run", "update of `w`", &["an infinity at [0] of f32 [4]"]);
    assert_eq!(left, [f32::INFINITY; 4]);
}

#[test]
fn values_larger_than_a_binding_are_looked_at_in_parts() {
    let count = 5 * ops::FINITE_PART + 3;
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([count])).unwrap();
    let (end, _) = (ops::layout::slice(&mut graph, x, 0, count - 2..count), ());
    graph.output("x again", x).unwrap();
    drop(end);
    let caps =
        Caps { max_binding_bytes: (2 * ops::FINITE_PART * 4) as u64 + 100, ..context().caps().clone() };
    let plan = Plan::watching(&graph, &caps, Watch::Outputs).unwrap();
    let looks = plan.commands().iter().filter(|command| matches!(command, Command::Dispatch { .. })).count();
    assert_eq!(looks, 3);
    for at in [0, 2 * ops::FINITE_PART - 1, 2 * ops::FINITE_PART, count - 1] {
        let mut numbers = vec![1.0; count];
        numbers[at] = f32::NAN;
        let program = Program::new(context(), &plan).unwrap();
        let ran = program.run(&[("x", &tensor(DType::F32, &[count], &numbers))]).map(|_| ());
        assert_names(ran, "run", "output `x again`", &[&format!("NaN at [{at}] of")]);
    }
    assert!(program_runs(&plan, count));
}

fn program_runs(plan: &Plan, count: usize) -> bool {
    let program = Program::new(context(), plan).unwrap();
    program.run(&[("x", &tensor(DType::F32, &[count], &vec![1.0; count]))]).is_ok()
}

#[test]
fn findings_of_another_length_are_refused() {
    let graph = Arc::new(projected(DType::F32));
    let plan = Plan::watching(&graph, context().caps(), Watch::Outputs).unwrap();
    assert_eq!(plan.verdict(&[0; 5]).unwrap_err().kind(), ErrorKind::Argument);
    assert!(Plan::new(&graph, context().caps()).unwrap().verdict(&[]).is_ok());
    let program = Program::new(context(), &plan).unwrap();
    assert_eq!(program.findings().map(|buffer| buffer.size()), Some(24));
    assert_eq!(plan.memory().working, Plan::new(&graph, context().caps()).unwrap().memory().working + 24);
}
