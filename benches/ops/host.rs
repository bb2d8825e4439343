//! What the host spends on a program of a hundred dispatches.

use std::time::{Duration, Instant};

use criterion::Criterion;
use foveate::gpu::Program;
use foveate::ops::{self, Matmul};
use foveate::{Graph, Plan, TensorDesc};

use crate::rate::DeviceTime;
use crate::{context, group};

pub(crate) fn bench(criterion: &mut Criterion<DeviceTime>) {
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
