//! Attention inside an app that has its own wgpu device: `foveate::guide::embedding`.
//!
//! ```text
//! cargo run --example embedding
//! ```

use std::error::Error;

use foveate::gpu::{Context, Program};
use foveate::ops::attention::{Blocked, Mask, blocked};
use foveate::{Graph, Plan, TensorDesc, wgpu};

fn main() -> Result<(), Box<dyn Error>> {
    // The app's own: an adapter, a device with WebGPU's default limits, a queue.
    let adapter = foveate::gpu::adapters().into_iter().next().ok_or("no adapter")?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    let context =
        Context::from_device(&device, &queue, adapter.get_info(), &adapter.cooperative_matrix_properties());
    let desc = TensorDesc::f32([1, 128, 4, 64]);
    let mut graph = Graph::new();
    let q = graph.input("query", desc.clone())?;
    let k = graph.input("key", desc.clone())?;
    let v = graph.input("value", desc.clone())?;
    let out = blocked(&mut graph, q, k, v, &Blocked::new().mask(Mask::causal()))?;
    graph.output("out", out)?;
    let program = Program::new(&context, &Plan::new(&graph, context.caps())?)?;

    // The app's buffers, bound once.
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: desc.buffer_bytes(),
            usage,
            mapped_at_creation: false,
        })
    };
    use wgpu::BufferUsages as Usage;
    let [query, key, value] = [(); 3].map(|()| buffer(Usage::STORAGE | Usage::COPY_DST));
    let result = buffer(Usage::STORAGE | Usage::COPY_SRC);
    let numbers: Vec<f32> = (0..desc.elements()).map(|i| (i % 17) as f32 / 17.0).collect();
    for buffer in [&query, &key, &value] {
        queue.write_buffer(buffer, 0, bytemuck::cast_slice(&numbers));
    }
    let bindings = program.bind(&[
        ("query", query.as_entire_buffer_binding()),
        ("key", key.as_entire_buffer_binding()),
        ("value", value.as_entire_buffer_binding()),
        ("out", result.as_entire_buffer_binding()),
    ])?;

    // A frame: attention is recorded among the app's own commands, and the app submits.
    let staging = buffer(Usage::COPY_DST | Usage::MAP_READ);
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    program.encode(&mut encoder, &bindings)?;
    encoder.copy_buffer_to_buffer(&result, 0, &staging, 0, None);
    queue.submit([encoder.finish()]);

    staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("the buffer maps"));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let attended: Vec<f32> = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);
    println!("{}: {:?} ..", context.describe(), &attended[..4]);
    assert_eq!(attended[..256], numbers[..256], "the first token of a causal mask sees only itself");
    Ok(())
}
