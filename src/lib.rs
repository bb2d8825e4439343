//! placeholder
mod error;
pub mod cpu;
pub mod gpu;
mod graph;
pub mod kernel;
pub mod ops;
pub mod plan;
mod tensor;
#[cfg(feature = "check")]
pub mod check;

pub use error::{Error, ErrorKind, Result};
pub use graph::{Graph, Op, Problem, Step, Value};
pub use kernel::{AdapterKind, Caps};
pub use plan::Plan;
pub use tensor::{Array, DType, HostData, HostTensor, MAX_RANK, Real, Shape, TensorDesc};
pub use wgpu;
