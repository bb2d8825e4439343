//! A GPU compute backend for efficient Transformers: attention kernels in WGSL on `wgpu`, inside your own app or headless.
//!
//! # The straight line
//!
//! ```text
//! ops::attention::blocked(&mut graph, q, k, v, &spec)?   appends one checked step to a graph
//! Plan::new(&graph, &caps)?                               dispatches, buffers, memory: plain data, no GPU
//! gpu::Program::new(&context, &plan)?                     all creation: pipelines, buffers, uniforms
//! program.bind(&buffers)?                                 your buffers, checked; bind groups
//! program.encode(&mut encoder, &bindings)?                records; you submit
//! program.run(&inputs)?                                   headless: encode, submit, wait, read back
//! cpu::run(&graph, &inputs)?                              the same graph through the references, in f64
//! ```
//!
//! A graph holds ops between named inputs and outputs; every shape is checked when a step is appended. A plan is made for the capabilities of a
//! device ([`Caps`]) and is the same on every machine; it has the bytes of memory that it takes ([`Plan::memory`]), and for each step the kernel and
//! the reason for it ([`Plan::report`]). A program is a plan with its pipelines and buffers on one device.
//!
//! Weights are *parameters* of a graph ([`Graph::parameter`]): uploaded once into [`gpu::Parameters`], bound by every program that
//! names them ([`gpu::Program::bind_with`]). A value larger than one storage binding is bound in parts by the ops that read rows
//! of it ([`ops::linear`], [`ops::embedding`]).
//!
//! [`Graph::gradients`] appends the backward pass as more steps of the same kind, and [`Graph::update`] stores new values in parameters at the end of
//! a run, so that training is a graph like any other.
//!
//! # In your app
//!
//! The library records into your encoder, on your device and buffers. It submits nothing and waits for nothing, and its errors are returned, not
//! raised in your device's error handler.
//!
//! ```
//! use foveate::gpu::{Context, Program};
//! use foveate::ops::{self, attention::{Blocked, Mask, blocked}};
//! use foveate::{Graph, Plan, TensorDesc, wgpu};
//! # use wgpu::util::DeviceExt;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let adapter = foveate::gpu::adapters().into_iter().next().ok_or("no adapter")?;
//! # let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
//! # let floats: Vec<f32> = (0..128 * 4 * 64).map(|i| (i % 7) as f32 / 7.0).collect();
//! # let buffer = |floats: &[f32]| device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
//! #     label: None,
//! #     contents: bytemuck::cast_slice(floats),
//! #     usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
//! # });
//! # let (query, key, value) = (buffer(&floats), buffer(&floats), buffer(&floats));
//! # let (attended, doubled) = (buffer(&floats), buffer(&floats));
//! // Your adapter, device and queue, with whatever limits and features you requested.
//! let context = Context::from_device(
//!     &device,
//!     &queue,
//!     adapter.get_info(),
//!     &adapter.cooperative_matrix_properties(),
//! );
//!
//! // Causal attention of 128 tokens, 4 heads of 64 channels, ..
//! let mut graph = Graph::new();
//! let desc = TensorDesc::f32([1, 128, 4, 64]);
//! let q = graph.input("query", desc.clone())?;
//! let k = graph.input("key", desc.clone())?;
//! let v = graph.input("value", desc.clone())?;
//! let out = blocked(&mut graph, q, k, v, &Blocked::new().mask(Mask::causal()))?;
//! graph.output("out", out)?;
//! let attention = Program::new(&context, &Plan::new(&graph, context.caps())?)?;
//!
//! // .. and a second program on its result.
//! let mut graph = Graph::new();
//! let x = graph.input("x", desc)?;
//! let y = ops::scale(&mut graph, x, 2.0)?;
//! graph.output("y", y)?;
//! let doubling = Program::new(&context, &Plan::new(&graph, context.caps())?)?;
//!
//! // Once: bind your buffers.
//! let attend = attention.bind(&[
//!     ("query", query.as_entire_buffer_binding()),
//!     ("key", key.as_entire_buffer_binding()),
//!     ("value", value.as_entire_buffer_binding()),
//!     ("out", attended.as_entire_buffer_binding()),
//! ])?;
//! let double = doubling.bind(&[
//!     ("x", attended.as_entire_buffer_binding()),
//!     ("y", doubled.as_entire_buffer_binding()),
//! ])?;
//!
//! // Every frame: record both into your encoder, among your own passes, and submit when you like.
//! let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
//! attention.encode(&mut encoder, &attend)?;
//! doubling.encode(&mut encoder, &double)?;
//! queue.submit([encoder.finish()]);
//! # let read = |buffer: &wgpu::Buffer| -> Result<Vec<f32>, Box<dyn std::error::Error>> {
//! #     let staging = device.create_buffer(&wgpu::BufferDescriptor {
//! #         label: None,
//! #         size: buffer.size(),
//! #         usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
//! #         mapped_at_creation: false,
//! #     });
//! #     let mut encoder = device.create_command_encoder(&Default::default());
//! #     encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, None);
//! #     queue.submit([encoder.finish()]);
//! #     staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("the buffer maps"));
//! #     device.poll(wgpu::PollType::wait_indefinitely())?;
//! #     let floats = bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?);
//! #     Ok(floats)
//! # };
//! # let (once, twice) = (read(&attended)?, read(&doubled)?);
//! # assert_eq!(once[..64], floats[..64], "the first token sees only itself");
//! # assert!(once.iter().zip(&twice).all(|(x, y)| 2.0 * x == *y));
//! # Ok(())
//! # }
//! ```
//!
//! # Modules, in reading order
//!
//! | module | what it is |
//! |---|---|
//! | `tensor` | what a value is: shape, element type, descriptor, host storage |
//! | `graph` | the recording: [`Graph`], [`Value`], [`Step`], and the trait [`Op`], which steps hold |
//! | [`kernel`] | shaders and dispatches as plain data, the capabilities of devices ([`Caps`]) and the tuning table |
//! | [`ops`] | the ops, one folder each, and the table of them, [`ops::CATALOGUE`] |
//! | `gradients` | [`Graph::gradients`]: reverse-mode differentiation; recomputes checkpointed segments and reversible layers |
//! | `finite` | checks for NaN and infinities: which tensors of a run, and which step computed the first |
//! | [`plan`] | from a graph to a schedule: lowering, lifetimes, slots, limits, memory |
//! | [`gpu`] | the only module that uses wgpu: devices, tuning profiles, shaders, pipelines, programs, reading back |
//! | [`cpu`] | runs a graph by the CPU references, in f64 or, faster, in f32 |
//! | [`runtime`] | runs graphs on either: devices, weights, states of streams, programs by size, timing |
//! | `outputs` | files that are replaced atomically, and folders that one process at a time writes to (feature `models`) |
//! | `weights` | weights that a model declares, and the checkpoint files that they are loaded from (feature `models`) |
//! | [`nn`] | layers: weights and the ops they are used with (feature `models`), and reversible layers |
//! | `models` | trained models from their folders, one file per family, and a language model to train (feature `models`) |
//! | `train` | a loss, its gradients and an optimiser as one graph, run again and again; checkpoints; models' folders (feature `models`) |
//! | `tokenize` | from text to token ids and back (feature `tokenize`) |
//! | `processing` | from scores to labels, entities, answers and transcripts; speech and time series as inputs (feature `tokenize`; WAV files with `sound`) |
//! | `check` | conformance: every op's cases on any device (feature `check`) |
//! | `bin/foveate` | the command line (feature `cli`) |
//!
//! `ops`, `graph`, `kernel` and `plan` use no GPU object and are tested without an adapter. Imports: `plan -> ops` for the op `finite` alone, `gpu ->
//! plan -> graph -> kernel -> tensor`, `ops -> graph`, `gradients -> ops`, `cpu -> graph`, `train -> models, gradients`, `check -> gpu, cpu, plan`,
//! `models -> nn -> ops, weights`, `models -> runtime -> gpu, cpu`, `tokenize -> weights -> tensor`; an op's `cases.rs` alone imports `check`. The
//! trait of ops and their lowered form lie in `graph` and `kernel`, below `ops` and `plan`, so that neither needs the other.
//!
//! **Adding an op** takes one `.rs` file in `src/ops/` (contract, reference, lowering, gradient; a folder where that grows long) and one
//! file in `shaders/`, which holds the method alone: `kernel::Kernel` writes bindings, loads, stores, parameters and the entry point. Its
//! `cases` and `benches` lie with it, because `foveate check` runs cases on users' machines, and its `entry!` row in
//! [`ops::CATALOGUE`] is all that lists it. From there come its tests (`tests/conformance`: every case on every choice of kernels, its gradients by
//! the same cases, and central differences), its benchmarks, `foveate check` and `foveate shader`; `tests/catalogue.rs` says what a row lacks. A file in
//! `tests/ops/` is for what is particular: errors, known values. A function of one number, or of two, is one row of a table in
//! `src/ops/elementwise/` and nothing else.
//!
//! # Errors
//!
//! One [`Error`] with an [`ErrorKind`]: op, argument, what was expected, what was found. No shape, setting, tensor or
//! buffer a caller passes makes the library panic, and there is no silent fallback: whoever asks for a GPU gets a GPU or an error.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "unstable"), allow(unreachable_pub, reason = "public with the feature `unstable`"))]

/// Re-exports that are public with the feature `unstable`, and the crate's own without it.
macro_rules! public_if_unstable {
    ($($room:ident::$what:tt),* $(,)?) => {
        $(
            #[cfg(feature = "unstable")]
            pub use $room::$what;
            #[cfg(not(feature = "unstable"))]
            #[allow(unused_imports, reason = "some are there for ops of other crates alone")]
            pub(crate) use $room::$what;
        )*
    };
}
pub(crate) use public_if_unstable;

/// The README's example, compiled.
#[cfg(all(doctest, feature = "tokenize"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "check")]
pub mod check;
pub mod cpu;
#[cfg(feature = "models")]
mod edit_distance;
mod error;
mod finite;
#[cfg(feature = "models")]
pub mod generate;
pub mod gpu;
mod gradients;
mod graph;
// Pages without code: nothing of them is in a build.
#[cfg(all(any(doc, doctest), feature = "cli"))]
pub mod guide;
pub mod kernel;
#[cfg(feature = "models")]
pub mod models;
pub mod nn;
pub mod ops;
#[cfg(feature = "models")]
pub mod outputs;
pub mod plan;
#[cfg(feature = "tokenize")]
pub mod processing;
#[cfg(feature = "serde")]
mod quote;
mod random;
pub mod runtime;
mod tensor;
#[cfg(feature = "tokenize")]
pub mod tokenize;
#[cfg(feature = "models")]
pub mod train;
#[cfg(feature = "models")]
pub mod weights;

pub use error::{Error, ErrorKind, Result};
pub use graph::{Adjoint, Gradient, Graph, Op, Replay, Step, StepDesc, Value};
pub use kernel::{AdapterKind, Caps};
pub use plan::Plan;
pub use random::Random;
pub use tensor::{Array, DType, HostData, HostTensor, MAX_RANK, Real, Shape, Strided, TensorDesc};
/// The wgpu this crate was built with: its types appear in [`gpu`].
pub use wgpu;
