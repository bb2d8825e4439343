//! Numbers that are not finite: a row that sees one is not finite, and one that does not see it is as if there were none.

use foveate::gpu::{Context, Cooperative, Program};
use foveate::kernel::{AdapterKind, CooperativeAttention, Tuning};
use foveate::ops::attention::{Blocked, EMPTY_ROW_LSE, LogSparse, Mask, Score, blocked_with_lse};
use foveate::{Caps, DType, Graph, HostTensor, Plan, Shape, Value, cpu};

use super::blocked::F32_OF_LARGEST;
use super::gradients::gradients_from;
use crate::support::{context, own_caps};

const QUERIES: usize = 40;
const KEYS: usize = 70;
const HEADS: usize = 2;
const SIZE: usize = 16;

type Set = fn(Value) -> Blocked;

/// One problem: what sees what, and its tensors by name.
struct Problem {
    set: Set,
    inputs: Vec<(&'static str, HostTensor)>,
}

/// Smooth numbers within 1 of 0, without two rows alike.
fn numbers(dtype: DType, shape: impl Into<Shape>, kind: usize) -> HostTensor {
    let shape = shape.into();
    let numbers: Vec<f32> = (0..shape.elements()).map(|i| ((i * (7 + kind)) as f32 * 0.37).sin()).collect();
    HostTensor::from_f32(dtype, shape, &numbers).unwrap()
}

impl Problem {
    fn new(dtype: DType, set: Set, queries: usize) -> Self {
        let rows = |time| [1, time, HEADS, SIZE];
        let bias: Vec<f32> = (0..queries * KEYS).map(|i| ((i * 5) as f32 * 0.23).sin()).collect();
        let inputs = vec![
            ("q", numbers(dtype, rows(queries), 0)),
            ("k", numbers(dtype, rows(KEYS), 1)),
            ("v", numbers(dtype, rows(KEYS), 2)),
            ("d_out", numbers(dtype, rows(queries), 3)),
            ("bias", HostTensor::f32([1, 1, queries, KEYS], bias).unwrap()),
        ];
        Self { set, inputs }
    }

    /// Puts `x` into the tensor called `name`.
    fn put(mut self, name: &str, at: usize, x: f32) -> Self {
        let (_, tensor) = self.inputs.iter_mut().find(|(known, _)| *known == name).unwrap();
        let mut numbers = tensor.to_f32();
        numbers[at] = x;
        *tensor = HostTensor::from_f32(tensor.dtype(), tensor.shape().clone(), &numbers).unwrap();
        self
    }

    fn inputs(&self) -> Vec<(&str, &HostTensor)> {
        self.inputs.iter().map(|(name, tensor)| (*name, tensor)).collect()
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        let values: Vec<Value> =
            self.inputs.iter().map(|(name, tensor)| graph.input(name, tensor.desc()).unwrap()).collect();
        let [q, k, v, d_out, bias] = values[..] else { unreachable!("there are five inputs") };
        let spec = (self.set)(bias);
        let (out, lse) = blocked_with_lse(&mut graph, q, k, v, &spec).unwrap();
        let gradients = gradients_from(&mut graph, (out, d_out), [q, k, v]);
        for (name, value) in
            [("out", out), ("lse", lse)].into_iter().chain(["dq", "dk", "dv"].into_iter().zip(gradients))
        {
            graph.output(name, value).unwrap();
        }
        graph
    }

    fn program(&self, context: &Context, caps: &Caps) -> Program {
        Program::new(context, &Plan::new(&self.graph(), caps).unwrap()).unwrap()
    }

    /// Fails unless the device, which runs the problem's program, and the reference have finite numbers in the same places, and there the same.
    fn agrees(&self, words: &str, program: &Program) {
        let expected = cpu::run(&self.graph(), &self.inputs()).unwrap();
        for (name, found) in program.run(&self.inputs()).unwrap() {
            let expected = expected[&name].to_f64();
            let is_finite = |x: &&f64| x.is_finite();
            let largest = expected.iter().filter(is_finite).fold(0.0, |largest: f64, x| largest.max(x.abs()));
            let tolerance = match found.dtype() {
                DType::F16 => 8.0 * f64::from(half::f16::EPSILON),
                _ => F32_OF_LARGEST,
            };
            for (i, (found, expected)) in found.to_f64().into_iter().zip(expected).enumerate() {
                assert_eq!(
                    found.is_finite(),
                    expected.is_finite(),
                    "{words}: {name}, element {i}: found {found}, expected {expected}"
                );
                assert!(
                    !expected.is_finite() || (found - expected).abs() <= tolerance * largest.max(1.0),
                    "{words}: {name}, element {i}: found {found}, expected {expected}"
                );
            }
        }
    }
}

fn window(_: Value) -> Blocked {
    Blocked::new().mask(Mask::window(5, 2))
}

fn listed(_: Value) -> Blocked {
    Blocked::new().mask(Mask::dilated_window(4, [3]))
}

/// Keys that lie scattered, in residue classes or in what blocks have in common.
fn strided(_: Value) -> Blocked {
    Blocked::new().mask(Mask::strided(7))
}

fn fixed(_: Value) -> Blocked {
    Blocked::new().mask(Mask::fixed(8, 2))
}

/// Few keys of each query, gathered one by one.
fn log_sparse(_: Value) -> Blocked {
    Blocked::new().mask(Mask::log_sparse(LogSparse { local: 2, restart: None }))
}

fn biased(bias: Value) -> Blocked {
    Blocked::new().mask(Mask::causal()).score(Score::bias(bias))
}

/// Kernels in the tiles of the other kind of adapter: a GPU's on a software rasterizer and the other way round.
fn foreign_caps() -> Caps {
    let caps = own_caps();
    let other = if caps.adapter == AdapterKind::Cpu { AdapterKind::Discrete } else { AdapterKind::Cpu };
    Caps { tuning: Tuning::for_adapter(other, None), ..caps }
}

/// Where row `time` of a tensor has channel `channel` of its second head.
fn at(time: usize, channel: usize) -> usize {
    (time * HEADS + 1) * SIZE + channel
}

/// Problems of one set, which one program runs.
type Group = (&'static str, Vec<Problem>);

fn problems(dtype: DType) -> Vec<Group> {
    // Scattered keys have kernels of their own where there are as many queries as keys.
    let sets: [(&str, Set, usize); 6] = [
        ("window", window, QUERIES),
        ("block lists", listed, QUERIES),
        ("bias", biased, QUERIES),
        ("strided", strided, KEYS),
        ("fixed", fixed, KEYS),
        ("few keys", log_sparse, KEYS),
    ];
    let group = |(words, set, queries): (&'static str, Set, usize)| -> Group {
        let new = || Problem::new(dtype, set, queries);
        let mut group = vec![
            new(),
            new().put("q", at(20, 3), f32::NAN),
            new().put("k", at(50, 3), f32::INFINITY),
            new().put("v", at(50, 3), f32::NAN).put("v", at(3, 1), f32::NEG_INFINITY),
            new().put("d_out", at(20, 3), f32::NAN),
        ];
        if words == "bias" {
            group.extend(
                [(10, f32::NAN), (69, f32::NAN), (10, f32::NEG_INFINITY)]
                    .map(|(key, x)| new().put("bias", 20 * KEYS + key, x)),
            );
        }
        (words, group)
    };
    sets.into_iter().map(group).collect()
}

fn agree(context: &Context, caps: &Caps, dtype: DType) {
    for (words, problems) in problems(dtype) {
        let program = problems[0].program(context, caps);
        for problem in problems {
            problem.agrees(words, &program);
        }
    }
}

#[test]
fn rows_that_see_no_such_number_are_as_if_there_were_none() {
    agree(context(), &own_caps(), DType::F32);
}

#[test]
fn nor_do_they_on_the_tiles_of_gpus() {
    agree(context(), &foreign_caps(), DType::F32);
}

#[test]
fn nor_do_they_in_f16() {
    if own_caps().f16 {
        agree(context(), &own_caps(), DType::F16);
    }
}

#[test]
fn nor_do_they_on_cooperative_matrices() {
    let tile =
        CooperativeAttention { subgroups: 2, row_fragments: 1, key_fragments: 4, backward_key_fragments: 4 };
    let context = context().self_tested();
    if *context.cooperative() != Cooperative::Passed {
        println!("{} multiplies no cooperative matrices", context.describe());
        return;
    }
    let mut caps = context.caps().clone();
    caps.tuning.cooperative_attention = Some(tile);
    agree(&context, &caps, DType::F16);
}

/// The reference, in f64, has room for such a product; f32 has not, and must not take it for a hidden pair.
#[test]
fn a_product_that_leaves_f32_gives_a_row_that_is_not_finite() {
    for (key, softcap) in [(1e25, None), (-1e25, None), (-1e25, Some(3.0))] {
        let mut problem =
            Problem::new(DType::F32, window, QUERIES).put("q", at(20, 3), 1e25).put("k", at(50, 3), key);
        if softcap.is_some() {
            problem.set = |_| Blocked::new().mask(Mask::window(5, 2)).softcap(3.0);
        }
        for caps in [own_caps(), foreign_caps()] {
            let found = problem.program(context(), &caps).run(&problem.inputs()).unwrap();
            let rows: Vec<usize> = found["out"]
                .to_f32()
                .chunks(SIZE)
                .enumerate()
                .filter_map(|(row, channels)| channels.iter().any(|x| !x.is_finite()).then_some(row))
                .collect();
            assert_eq!(rows, [20 * HEADS + 1], "key of {key:e}");
            let lse = found["lse"].to_f32()[QUERIES + 20];
            assert!(!lse.is_finite() && lse != EMPTY_ROW_LSE, "key of {key:e}: {lse}");
        }
    }
}
