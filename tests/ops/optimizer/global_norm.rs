use foveate::kernel::Tuning;
use foveate::ops::optimizer::{GlobalNorm, global_norm};
use foveate::plan::Command;
use foveate::{AdapterKind, Caps, ErrorKind, Graph, HostTensor, Plan, TensorDesc, cpu};

use crate::support::{assert_error, refused, run};

#[test]
fn gradients_that_overflowed_skip_the_step() {
    let mut graph = Graph::new();
    let scale = graph.input("scale", TensorDesc::f32([1])).unwrap();
    let gradients = ["a", "b"].map(|name| graph.input(name, TensorDesc::f32([70])).unwrap());
    let settings = GlobalNorm { max_norm: Some(1.0) };
    let (norm, factor) = global_norm(&mut graph, &gradients, scale, &settings).unwrap();
    graph.output("norm", norm).unwrap();
    graph.output("factor", factor).unwrap();

    let scale = HostTensor::f32([1], vec![8.0]).unwrap();
    let fine = HostTensor::f32([70], vec![1.0; 70]).unwrap();
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30] {
        let mut floats = vec![1.0; 70];
        floats[69] = bad;
        let spoiled = HostTensor::f32([70], floats).unwrap();
        let inputs = [("scale", &scale), ("a", &fine), ("b", &spoiled)];
        let found = run(&graph, &inputs);
        assert_eq!((found["norm"].to_f32(), found["factor"].to_f32()), (vec![-1.0], vec![0.0]), "{bad}");
        let found = cpu::run_f32(&graph, &cpu::Parameters::default(), &inputs).unwrap();
        assert_eq!((found["norm"].to_f32(), found["factor"].to_f32()), (vec![-1.0], vec![0.0]), "{bad}");
    }
}

#[test]
fn a_bound_of_zero_is_refused() {
    let descs = [TensorDesc::f32([1]), TensorDesc::f32([5])];
    let error = refused(&descs, |graph, v| {
        Ok(global_norm(graph, &v[1..], v[0], &GlobalNorm { max_norm: Some(0.0) })?.0)
    });
    assert_eq!(error.kind(), ErrorKind::Argument);
    let error = refused(&descs, |graph, v| Ok(global_norm(graph, &[], v[0], &GlobalNorm::default())?.0));
    let place = "optimizer/global_norm: gradients";
    assert_error(&error, ErrorKind::Argument, place);
}

#[test]
fn sums_over_very_long_gradients_stay_below_a_limit_of_loops() {
    let mut graph = Graph::new();
    let scale = graph.input("scale", TensorDesc::f32([1])).unwrap();
    let gradients = ["a", "b"].map(|name| graph.input(name, TensorDesc::f32([1 << 29])).unwrap());
    let (norm, _) = global_norm(&mut graph, &gradients, scale, &GlobalNorm::default()).unwrap();
    graph.output("norm", norm).unwrap();
    let caps = Caps {
        adapter: AdapterKind::Cpu,
        subgroup_size: Some(8),
        tuning: Tuning::for_adapter(AdapterKind::Cpu, Some(8)),
        max_binding_bytes: 1 << 40,
        max_buffer_bytes: 1 << 40,
        max_loop_turns: Some(65_535),
        ..Caps::webgpu_default()
    };
    let plan = Plan::new(&graph, &caps).unwrap_or_else(|error| panic!("{error}"));
    let turns = plan.commands().iter().filter_map(|command| match command {
        Command::Dispatch { turns, .. } => Some(*turns),
        Command::Copy { .. } => None,
    });
    // One for 64 packs of four elements: 8 lanes would take 524,288 turns.
    assert!(turns.max().is_some_and(|most| (1..65_535).contains(&most)));
}
