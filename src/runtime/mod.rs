//! Runs graphs on a device through wgpu or by the CPU references, behind one interface, which the library's models and training and the command line
//! use.
//!
//! ```text
//! Device                       Gpu(Context), Cpu or CpuF64
//! Store::upload(device, ..)    a model's weights, shared by everything that runs it
//! Runner::new(&weights)        makes a graph for a size once, keeps the last few, runs it with inputs and outputs by name
//! State::new(device, ..)       what one stream keeps from run to run: caches of keys and values, memories, running sums
//! Planned::new(&weights, ..)   one graph that is run again and again and timed: its plan, and with inputs a Running
//! ```

mod bytes;
mod device;
mod host;
mod runner;
mod store;
mod timed;

pub use device::Device;
pub use runner::{Outputs, Runner};
pub use store::{State, Store};
pub use timed::{Planned, Running};
