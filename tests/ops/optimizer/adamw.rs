use foveate::gpu::{Parameters, Program, Session};
use foveate::ops::optimizer::{AdamW, Control, Moments, adamw};
use foveate::plan::Command;
use foveate::{ErrorKind, Graph, HostTensor, TensorDesc, cpu};

use crate::support::{assert_error, context, plan, refused};

/// A graph that updates a parameter and its moments by one step, reading the gradient from an input.
fn training_graph(desc: &TensorDesc) -> Graph {
    let mut graph = Graph::new();
    let [parameter, first, second] =
        ["weight", "first", "second"].map(|name| graph.parameter(name, desc.clone()).unwrap());
    let gradient = graph.input("gradient", desc.clone()).unwrap();
    let schedule = graph.input("schedule", TensorDesc::f32([3])).unwrap();
    let factor = graph.input("factor", TensorDesc::f32([1])).unwrap();
    let (control, moments) = (Control { schedule, factor }, Moments { first, second });
    let (updated, new) = adamw(&mut graph, parameter, gradient, moments, control, &AdamW::default()).unwrap();
    for (parameter, value) in [(parameter, updated), (first, new.first), (second, new.second)] {
        graph.update(parameter, value).unwrap();
    }
    graph
}

#[test]
fn updates_change_parameters_in_place() {
    let desc = TensorDesc::f32([5, 7]);
    let graph = training_graph(&desc);
    let plan = plan(&graph);
    assert!(plan.commands().iter().all(|command| matches!(command, Command::Dispatch { .. })));
    assert_eq!((plan.memory().working, plan.updated()), (0, &[true; 3][..]));

    let tensor = |x: f32| HostTensor::f32([5, 7], (0..35).map(|i| x * i as f32).collect()).unwrap();
    let start =
        || [("weight", 0.1), ("first", 0.0), ("second", 0.0)].map(|(n, x)| Ok((n.to_owned(), tensor(x))));
    let parameters = Parameters::upload(context(), start()).unwrap();
    let mut on_cpu = cpu::Parameters::new(start()).unwrap();
    let gradient = tensor(1.0);
    let factor = HostTensor::f32([1], vec![1.0]).unwrap();
    let schedule =
        |t: i32| HostTensor::f32([3], vec![1e-2, 1.0 - 0.9f32.powi(t), 1.0 - 0.999f32.powi(t)]).unwrap();
    let (first, second) = (schedule(1), schedule(2));
    let inputs = |schedule| [("gradient", &gradient), ("schedule", schedule), ("factor", &factor)];
    let program = Program::new(context(), &plan).unwrap();
    let mut session = Session::with_parameters(&program, &parameters, &inputs(&first)).unwrap();
    for schedule in [&first, &second] {
        session.write(&inputs(schedule)).unwrap();
        session.run().unwrap();
        cpu::update_f32(&graph, &mut on_cpu, &inputs(schedule)).unwrap();
    }
    for name in ["weight", "first", "second"] {
        let found = parameters.download(context(), name).unwrap().to_f32();
        let expected = on_cpu.get(name).unwrap().to_f32();
        assert_ne!(expected, tensor(0.1).to_f32(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{name}: {found} for {expected}");
        }
    }
}

#[test]
fn a_parameter_that_is_read_afterwards_is_copied_first() {
    let desc = TensorDesc::f32([4]);
    let mut graph = training_graph(&desc);
    let weight = graph.parameter("weight", desc).unwrap();
    let doubled = foveate::ops::scale(&mut graph, weight, 2.0).unwrap();
    graph.output("doubled", doubled).unwrap();
    let copies = plan(&graph).commands().iter().filter(|c| matches!(c, Command::Copy { .. })).count();
    assert_eq!(copies, 2, "to where the step changes it, and back at the end");

    let tensor = |floats: [f32; 4]| HostTensor::f32([4], floats.to_vec()).unwrap();
    let weights = tensor([1.0, 2.0, 3.0, 4.0]);
    let start = ["weight", "first", "second"]
        .map(|name| Ok((name.to_owned(), if name == "weight" { weights.clone() } else { tensor([0.0; 4]) })));
    let parameters = Parameters::upload(context(), start).unwrap();
    let schedule = HostTensor::f32([3], vec![0.5, 0.1, 1e-3]).unwrap();
    let factor = HostTensor::f32([1], vec![1.0]).unwrap();
    let inputs = [("gradient", &weights), ("schedule", &schedule), ("factor", &factor)];
    let program = Program::new(context(), &plan(&graph)).unwrap();
    let mut session = Session::with_parameters(&program, &parameters, &inputs).unwrap();
    session.run().unwrap();
    assert_eq!(session.read().unwrap()["doubled"].to_f32(), [2.0, 4.0, 6.0, 8.0], "the old contents");
    let updated = parameters.download(context(), "weight").unwrap().to_f32();
    assert!((updated[0] - 0.495).abs() < 1e-4, "{updated:?}");
}

#[test]
fn what_is_no_parameter_cannot_be_updated() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2])).unwrap();
    let weight = graph.parameter("weight", TensorDesc::f32([2])).unwrap();
    let y = foveate::ops::scale(&mut graph, x, 2.0).unwrap();
    let error = graph.update(x, y).unwrap_err();
    assert_error(&error, ErrorKind::Argument, "graph: update");
    graph.update(weight, y).unwrap();
    let error = graph.update(weight, y).unwrap_err();
    assert_error(&error, ErrorKind::Argument, "graph: update");
    let error = cpu::run(&graph, &[("x", &HostTensor::f32([2], vec![0.0; 2]).unwrap())]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument, "the update would be lost");
}

#[test]
fn settings_without_a_meaning_are_refused() {
    let descs = [4, 4, 4, 4, 3, 1].map(|count| TensorDesc::f32([count]));
    let error = refused(&descs, |graph, v| {
        let (control, moments) =
            (Control { schedule: v[4], factor: v[5] }, Moments { first: v[2], second: v[3] });
        let settings = AdamW { beta2: 1.0, ..AdamW::default() };
        Ok(adamw(graph, v[0], v[1], moments, control, &settings)?.0)
    });
    let place = "optimizer/adamw: beta2";
    assert_error(&error, ErrorKind::Argument, place);
}

#[test]
fn updates_that_are_not_in_place_survive_the_steps_behind_them() {
    let desc = TensorDesc::f32([64]);
    let mut graph = Graph::new();
    let x = graph.input("x", desc.clone()).unwrap();
    let [first, second] = ["first", "second"].map(|name| graph.parameter(name, desc.clone()).unwrap());
    let tripled = foveate::ops::scale(&mut graph, first, 3.0).unwrap();
    graph.update(first, tripled).unwrap();
    let mixed = foveate::ops::add(&mut graph, first, second).unwrap();
    graph.update(second, mixed).unwrap();
    // Would take the memory of what comes before, were that free.
    let y = (0..6).fold(x, |y, _| foveate::ops::scale(&mut graph, y, 2.0).unwrap());
    graph.output("y", y).unwrap();
    let tensor = |x: f32| HostTensor::f32([64], vec![x; 64]).unwrap();
    let start = [("first", 1.0), ("second", 10.0)].map(|(name, x)| Ok((name.to_owned(), tensor(x))));
    let parameters = Parameters::upload(context(), start).unwrap();
    let program = Program::new(context(), &plan(&graph)).unwrap();
    let mut session = Session::with_parameters(&program, &parameters, &[("x", &tensor(7.0))]).unwrap();
    for (first, second) in [(3.0, 11.0), (9.0, 14.0)] {
        session.run().unwrap();
        assert_eq!(parameters.download(context(), "first").unwrap(), tensor(first));
        assert_eq!(parameters.download(context(), "second").unwrap(), tensor(second));
    }
}

#[test]
fn a_parameter_under_another_shape_is_no_update() {
    let mut graph = Graph::new();
    let [weight, before] =
        ["weight", "before"].map(|name| graph.parameter(name, TensorDesc::f32([4])).unwrap());
    let view = foveate::ops::reshape(&mut graph, weight, [4]).unwrap();
    graph.update(before, view).unwrap();
    let error = foveate::Plan::new(&graph, context().caps()).unwrap_err();
    let place = "plan: update";
    assert_error(&error, ErrorKind::Argument, place);
}
