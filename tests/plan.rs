//! Plans: lifetimes, memory, limits. No adapter is needed.

mod choices;

use std::time::Instant;

use foveate::kernel::{Caps, MatmulKernel};
use foveate::ops::attention::{Blocked, blocked};
use foveate::ops::{
    self, Matmul, add, concat, embedding, matmul, multiply, reshape, scale, slice, softmax, transpose,
};
use foveate::plan::{Command, Location};
use foveate::{ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu};

use crate::choices::every_choice_of_kernels;

fn graph_of(build: impl FnOnce(&mut Graph) -> Result<()>) -> Graph {
    let mut graph = Graph::new();
    build(&mut graph).expect("the graph can be recorded");
    graph
}

fn chain(graph: &mut Graph, steps: usize) -> Result<Value> {
    let mut x = graph.input("x", TensorDesc::f32([1000]))?;
    for _ in 0..steps {
        x = scale(graph, x, 0.5)?;
    }
    Ok(x)
}

#[test]
fn a_chain_of_any_length_works_in_two_slots() {
    let graph = graph_of(|graph| {
        let x = chain(graph, 50)?;
        graph.output("y", x)
    });
    let plan = Plan::new(&graph, &Caps::webgpu_default()).unwrap();
    assert_eq!(plan.slots(), [4000, 4000]);
    let memory = plan.memory();
    assert_eq!((memory.inputs, memory.outputs, memory.working), (4000, 4000, 8000));
    assert_eq!(memory.working_unshared, 49 * 4000);
    assert_eq!(memory.params, 50 * 256);
    assert_eq!(memory.total(), 4000 + 4000 + 8000 + 50 * 256);
}

#[test]
fn a_dispatch_never_reads_what_it_writes() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([64, 64]))?;
        let mut y = x;
        for i in 0..20 {
            let square = matmul(graph, y, x, &Matmul::new())?;
            let sum = if i % 2 == 0 { add(graph, square, y)? } else { multiply(graph, square, square)? };
            y = softmax(graph, sum)?;
        }
        graph.output("y", y)
    });
    let plan = Plan::new(&graph, &Caps::webgpu_default()).unwrap();
    for command in plan.commands() {
        let Command::Dispatch { buffers, .. } = command else { continue };
        let (written, read) = buffers.split_last().expect("a dispatch has buffers");
        assert!(read.iter().all(|buffer| buffer.location != written.location), "{command:?}");
    }
}

#[test]
fn steps_that_no_output_needs_are_left_out() {
    let graph = graph_of(|graph| {
        let x = chain(graph, 3)?;
        scale(graph, x, 7.0)?;
        graph.output("y", x)
    });
    assert_eq!(Plan::new(&graph, &Caps::webgpu_default()).unwrap().report().len(), 3);
}

#[test]
fn a_value_under_two_names_and_an_input_handed_out_are_copied() {
    let graph = graph_of(|graph| {
        let x = chain(graph, 1)?;
        graph.output("first", x)?;
        graph.output("second", x)?;
        let input = graph.inputs()[0].1;
        graph.output("unchanged", input)
    });
    let plan = Plan::new(&graph, &Caps::webgpu_default()).unwrap();
    let copies: Vec<_> =
        plan.commands().iter().filter(|command| matches!(command, Command::Copy { .. })).cloned().collect();
    let copy = |from, to| Command::Copy { from, to: Location::Output(to), bytes: 4000 };
    assert_eq!(copies, [copy(Location::Output(0), 1), copy(Location::Input(0), 2)]);
}

#[test]
fn a_binding_beyond_the_limit_is_refused_with_the_numbers() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([1 << 26]))?;
        let y = scale(graph, x, 2.0)?;
        graph.output("y", y)
    });
    let error = Plan::new(&graph, &Caps::webgpu_default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(
        error.to_string(),
        "elementwise/scale: x: expected at most 134217728 bytes in one storage binding, found 268435456"
    );
    let roomy = Caps { max_binding_bytes: 1 << 30, max_buffer_bytes: 1 << 30, ..Caps::webgpu_default() };
    Plan::new(&graph, &roomy).unwrap();
}

#[test]
fn indices_beyond_32_bits_are_refused() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([1 << 20, 1 << 20]))?;
        let y = scale(graph, x, 2.0)?;
        graph.output("y", y)
    });
    let boundless =
        Caps { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, ..Caps::webgpu_default() };
    assert_eq!(Plan::new(&graph, &boundless).unwrap_err().kind(), ErrorKind::Limit);
}

/// A graph by name.
type Recording = (&'static str, fn(&mut Graph) -> Result<Value>);

/// Values without elements whose other axes multiply to more than an index, or even a `usize`, holds.
const HUGE_AND_EMPTY: &[Recording] = &[
    ("matmul of no inner axis", |graph| {
        let (a, b) = (f32_input(graph, "a", &[1 << 34, 0])?, f32_input(graph, "b", &[0, 0])?);
        matmul(graph, a, b, &Matmul::new())
    }),
    ("matmul of a result larger than memory", |graph| {
        let (a, b) = (f32_input(graph, "a", &[1 << 40, 0])?, f32_input(graph, "b", &[0, 1 << 40])?);
        matmul(graph, a, b, &Matmul::new())
    }),
    ("matmul of a huge inner axis", |graph| {
        let (a, b) = (f32_input(graph, "a", &[0, 1 << 40])?, f32_input(graph, "b", &[1 << 40, 0])?);
        matmul(graph, a, b, &Matmul::new())
    }),
    ("add", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 1 << 40, 0])?;
        add(graph, x, x)
    }),
    ("add, broadcast", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 1 << 40, 0])?;
        let row = f32_input(graph, "row", &[1 << 40, 1])?;
        add(graph, x, row)
    }),
    ("scale", |graph| {
        let x = f32_input(graph, "x", &[0, 1 << 40, 1 << 40])?;
        scale(graph, x, 2.0)
    }),
    ("reshape", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 1 << 40, 0])?;
        reshape(graph, x, [0, 1 << 40, 1 << 40])
    }),
    ("transpose", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 0, 1 << 40])?;
        transpose(graph, x, &[2, 0, 1])
    }),
    ("concat", |graph| {
        let x = f32_input(graph, "x", &[1 << 63, 0, 1 << 40])?;
        concat(graph, &[x, x, x], 0)
    }),
    ("slice", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 1 << 40, 0])?;
        slice(graph, x, 0, 1 << 39..1 << 40)
    }),
    ("embedding", |graph| {
        let table = f32_input(graph, "table", &[1 << 40, 1 << 40])?;
        let ids = graph.input("ids", TensorDesc::u32([1 << 40, 1 << 40, 0]))?;
        embedding(graph, &[(table, ids)])
    }),
    ("softmax", |graph| {
        let x = f32_input(graph, "x", &[1 << 40, 1 << 40, 0])?;
        softmax(graph, x)
    }),
    ("attention", |graph| {
        let q = f32_input(graph, "q", &[1 << 40, 0, 1 << 20, 16])?;
        let (k, v) = (
            f32_input(graph, "k", &[1 << 40, 0, 1 << 20, 16])?,
            f32_input(graph, "v", &[1 << 40, 0, 1 << 20, 16])?,
        );
        blocked(graph, q, k, v, &Blocked::new())
    }),
];

fn f32_input(graph: &mut Graph, name: &str, shape: &[usize]) -> Result<Value> {
    graph.input(name, TensorDesc::f32(shape))
}

#[test]
fn huge_shapes_without_elements_are_planned_or_refused() {
    let boundless = every_choice_of_kernels().into_iter().map(|caps| Caps {
        max_binding_bytes: u64::MAX,
        max_buffer_bytes: u64::MAX,
        ..caps
    });
    let choices: Vec<Caps> = boundless.chain([Caps::webgpu_default()]).collect();
    for (name, record) in HUGE_AND_EMPTY {
        for caps in &choices {
            // Shown when planning panics.
            println!("{name}");
            let graph = graph_of(|graph| {
                let y = record(graph)?;
                graph.output("y", y)
            });
            if let Err(error) = Plan::new(&graph, caps) {
                assert_eq!(error.kind(), ErrorKind::Limit, "{name}: {error}");
            }
        }
    }
}

#[test]
fn the_reference_refuses_results_larger_than_memory() {
    let [a, b] = [[1 << 40, 0], [0, 1 << 40]].map(|shape| HostTensor::f32(shape, Vec::new()).unwrap());
    let graph = graph_of(|graph| {
        let (x, y) = (graph.input("a", a.desc())?, graph.input("b", b.desc())?);
        let product = matmul(graph, x, y, &Matmul::new())?;
        graph.output("product", product)
    });
    let error = cpu::run(&graph, &[("a", &a), ("b", &b)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

fn direct(row_blocks: u32, col_vecs: u32) -> MatmulKernel {
    MatmulKernel::Direct { row_blocks, col_vecs, shared_reads: false }
}

#[test]
fn limits_and_tiles_of_nothing_are_refused() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([1, 2, 2, 4]))?;
        let attended = blocked(graph, x, x, x, &Blocked::new())?;
        let flat = reshape(graph, attended, [4, 4])?;
        let product = matmul(graph, flat, flat, &Matmul::new())?;
        let y = scale(graph, product, 2.0)?;
        graph.output("y", y)
    });
    let refused = |change: fn(&mut Caps)| {
        let mut caps = Caps::webgpu_default();
        change(&mut caps);
        let error = Plan::new(&graph, &caps).expect_err("the capabilities have no meaning");
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
    };
    refused(|caps| caps.max_workgroups = 0);
    refused(|caps| caps.uniform_alignment = 0);
    refused(|caps| caps.tuning.row_lanes = 0);
    refused(|caps| caps.tuning.matmul = direct(0, 1));
    refused(|caps| caps.tuning.matmul = direct(1, 0));
    refused(|caps| caps.tuning.attention.lanes = 0);
    refused(|caps| caps.tuning.attention.row_groups = 0);
    refused(|caps| caps.tuning.attention.rows = 0);
    refused(|caps| caps.tuning.attention.key_vectors = 0);
    refused(|caps| caps.tuning.attention.backward_key_vectors = 0);
}

#[test]
fn too_few_storage_buffers_are_refused() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([8]))?;
        let y = add(graph, x, x)?;
        graph.output("y", y)
    });
    let error = Plan::new(&graph, &Caps { max_storage_buffers: 2, ..Caps::webgpu_default() }).unwrap_err();
    assert_eq!((error.kind(), error.found()), (ErrorKind::Limit, "3"));
}

#[test]
fn names_are_used_once_and_values_belong_to_their_graph() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([2])).unwrap();
    let error = graph.input("x", TensorDesc::f32([2])).unwrap_err();
    assert_eq!(error.to_string(), "graph: name: expected a name used once, found `x` again");
    assert_eq!(graph.output("x", x).unwrap_err().kind(), ErrorKind::Argument);

    let mut other = Graph::new();
    other.input("y", TensorDesc::f32([2])).unwrap();
    let error = scale(&mut other, x, 1.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "graph: value: expected a value of this graph, found a value of another graph"
    );
}

#[test]
fn planning_a_hundred_dispatches_takes_under_20_ms() {
    let graph = graph_of(|graph| {
        let x = graph.input("x", TensorDesc::f32([256, 256]))?;
        let mut y = x;
        for _ in 0..25 {
            y = ops::matmul(graph, y, x, &Matmul::new())?;
            y = ops::scale(graph, y, 0.1)?;
            y = ops::softmax(graph, y)?;
            y = ops::add(graph, y, x)?;
        }
        graph.output("y", y)
    });
    let fastest = (0..5)
        .map(|_| {
            let start = Instant::now();
            let plan = Plan::new(&graph, &Caps::webgpu_default()).unwrap();
            assert_eq!(plan.commands().len(), 100);
            start.elapsed()
        })
        .min();
    println!("planned in {fastest:?}");
    assert!(fastest.is_some_and(|time| time.as_millis() < 20), "{fastest:?}");
}
