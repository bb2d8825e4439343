//! Programs that are submitted in parts.

use foveate::gpu::{Program, Session};
use foveate::{ErrorKind, Graph, HostTensor, Plan, TensorDesc, ops};

use crate::devices::context;

/// Numbers of a step: enough that forty steps are more than one part.
const COUNT: usize = 1 << 22;

#[test]
fn a_program_in_several_parts_computes_what_its_steps_do() {
    let mut graph = Graph::new();
    let mut x = graph.input("x", TensorDesc::f32([COUNT])).unwrap();
    for _ in 0..40 {
        x = ops::scale(&mut graph, x, -2.0).unwrap();
        x = ops::scale(&mut graph, x, 0.5).unwrap();
    }
    graph.output("y", x).unwrap();
    let context = context();
    let plan = Plan::new(&graph, context.caps()).unwrap();
    let parts = plan.submissions();
    assert!(parts.len() > 1, "{parts:?}");
    assert_eq!(parts.iter().map(ExactSizeIterator::len).sum::<usize>(), plan.commands().len());

    let program = Program::new(context, &plan).unwrap();
    let numbers: Vec<f32> = (0..COUNT).map(|i| (i % 1000) as f32).collect();
    let input = HostTensor::f32([COUNT], numbers.clone()).unwrap();
    let mut session = Session::new(&program, &[("x", &input)]).unwrap();
    session.run().unwrap();
    assert_eq!(session.read().unwrap()["y"].to_f32(), numbers);
}

#[test]
fn a_part_that_is_none_is_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([4])).unwrap();
    let y = ops::scale(&mut graph, x, 2.0).unwrap();
    graph.output("y", y).unwrap();
    let context = context();
    let program = Program::new(context, &Plan::new(&graph, context.caps()).unwrap()).unwrap();
    let buffer = |bytes| {
        context.device().create_buffer(&foveate::wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: foveate::wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer(16), buffer(16));
    let bindings =
        program.bind(&[("x", x.as_entire_buffer_binding()), ("y", y.as_entire_buffer_binding())]).unwrap();
    let mut encoder = context.device().create_command_encoder(&Default::default());
    let error = program.encode_part(&mut encoder, &bindings, 0..2).unwrap_err();
    assert_eq!((error.kind(), error.argument()), (ErrorKind::Argument, "part"));
    assert!(program.encode_part(&mut encoder, &bindings, 0..1).is_ok());
}
