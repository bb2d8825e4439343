//! Loops longer than some drivers run them: Mesa's llvmpipe before 26 ends an invocation's loops after 65,535 turns, without a message.

use foveate::gpu::Program;
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::plan::Command;
use foveate::{Caps, Graph, HostTensor, Plan, TensorDesc};

use super::gradients::gradients_from;
use crate::support::{context, run};

const KEYS: usize = 262_144;
const SIZE: usize = 16;

/// Queries of 0 see all keys alike, so that they get the mean of values that rise from 0 to 1.
fn mean_of_a_ramp(mask: Mask) {
    let rows = |time: usize, x: &dyn Fn(usize) -> f32| {
        HostTensor::f32([1, time, 1, SIZE], (0..time * SIZE).map(|i| x(i / SIZE)).collect()).unwrap()
    };
    let q = rows(40, &|_| 0.0);
    let k = rows(KEYS, &|i| (i % 7) as f32);
    let v = rows(KEYS, &|i| i as f32 / KEYS as f32);
    let mut graph = Graph::new();
    let inputs = [("q", &q), ("k", &k), ("v", &v)];
    let values = inputs.map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap());
    let out = blocked(&mut graph, values[0], values[1], values[2], &Blocked::new().mask(mask)).unwrap();
    graph.output("out", out).unwrap();
    for x in run(&graph, &inputs)["out"].to_f32() {
        assert!((x - 0.5).abs() < 1e-4, "{x}");
    }
}

#[test]
fn attention_over_a_quarter_of_a_million_keys_sees_all_of_them() {
    mean_of_a_ramp(Mask::full());
}

#[test]
fn so_does_attention_along_block_lists() {
    mean_of_a_ramp(Mask::causal() | Mask::prefix(KEYS as u32));
}

/// Each of the keys gets the same share of every query.
#[test]
fn gradients_of_keys_and_values_sum_over_all_queries() {
    const QUERIES: usize = 300_000;
    const FEW: usize = 32;
    let rows = |time: usize, x: f32| HostTensor::f32([1, time, 1, SIZE], vec![x; time * SIZE]).unwrap();
    let inputs = [
        ("q", rows(QUERIES, 0.5)),
        ("k", rows(FEW, 0.25)),
        ("v", rows(FEW, 0.5)),
        ("d_out", rows(QUERIES, 1.0)),
    ];
    let inputs = inputs.each_ref().map(|(name, tensor)| (*name, tensor));
    let mut graph = Graph::new();
    let [q, k, v, d_out] = inputs.map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap());
    let out = blocked(&mut graph, q, k, v, &Blocked::new()).unwrap();
    let [_, dk, dv] = gradients_from(&mut graph, (out, d_out), [q, k, v]);
    graph.output("dk", dk).unwrap();
    graph.output("dv", dv).unwrap();
    let program = Program::new(context(), &Plan::new(&graph, context().caps()).unwrap()).unwrap();
    let found = program.run(&inputs).unwrap();
    let exact = (QUERIES / FEW) as f32;
    for x in found["dv"].to_f32() {
        assert!((x - exact).abs() < 1e-3 * exact, "dv: {x}, expected {exact}");
    }
    // All values are one, so that no weight matters.
    for x in found["dk"].to_f32() {
        assert!(x.abs() < 1.0, "dk: {x}");
    }
}

/// The most turns and the workgroups of a plan's dispatches.
fn turns_and_workgroups(graph: &Graph, limit: Option<u64>) -> (u64, u64) {
    let caps = Caps { max_loop_turns: limit, ..Caps::webgpu_default() };
    let plan = Plan::new(graph, &caps).unwrap();
    let dispatches = plan.commands().iter().filter_map(|command| match command {
        Command::Dispatch { turns, workgroups, .. } => {
            Some((*turns, workgroups.iter().map(|&n| u64::from(n)).product()))
        }
        _ => None,
    });
    dispatches.fold((0, 0), |(most, sum): (u64, u64), (turns, workgroups): (u64, u64)| {
        (most.max(turns), sum + workgroups)
    })
}

#[test]
fn walks_are_split_only_where_a_device_ends_loops() {
    let mut graph = Graph::new();
    let [q, k, v, d_out] = [("q", 4096), ("k", KEYS), ("v", KEYS), ("d_out", 4096)]
        .map(|(name, time)| graph.input(name, TensorDesc::f32([1, time, 1, SIZE])).unwrap());
    let out = blocked(&mut graph, q, k, v, &Blocked::new()).unwrap();
    let gradients = gradients_from(&mut graph, (out, d_out), [q, k, v]);
    graph.output("out", out).unwrap();
    for (name, gradient) in ["dq", "dk", "dv"].into_iter().zip(gradients) {
        graph.output(name, gradient).unwrap();
    }
    let (unlimited, few) = turns_and_workgroups(&graph, None);
    let (limited, many) = turns_and_workgroups(&graph, Some(65_535));
    assert!(unlimited > 65_535 && limited < 65_535, "{unlimited} and {limited} turns");
    assert!(many > few, "{many} and {few} workgroups");
}
