//! One place that runs graphs, on a device through wgpu or by the CPU references: the library's models and training know of no other difference between the two.
//!
//! ```text
//! Device                     Gpu(Context) or Cpu
//! Store::upload(device, ..)  a model's weights, shared by everything that runs it
//! Runner::new(&weights)      makes a graph for a size once, keeps the last few, runs it with inputs and outputs by name
//! State::new(device, ..)     what one stream keeps from run to run: caches of keys and values, memories, running sums
//! ```

mod runner;
mod store;

pub use runner::{Outputs, Runner};
pub use store::{State, Store};

use crate::gpu::Context;

/// What graphs run on.
#[derive(Clone, Debug)]
pub enum Device {
    /// A device through wgpu.
    Gpu(Context),
    /// The CPU references, in f32.
    Cpu,
}

impl Device {
    /// The most bytes that one tensor may take.
    pub fn max_tensor_bytes(&self) -> u64 {
        match self {
            Self::Gpu(context) => context.caps().max_binding_bytes.min(context.caps().max_buffer_bytes),
            Self::Cpu => u64::MAX,
        }
    }

    /// Whether a graph made for a size is worth keeping for the sizes near it: kernels are compiled for it.
    pub fn is_planned(&self) -> bool {
        matches!(self, Self::Gpu(_))
    }
}
