//! What a value is: element type, shape, descriptor, and tensors on the host.
//!
//! Values are contiguous and row-major. Shapes count elements, never bytes.

mod array;
mod dtype;
mod gemm;
mod host;
mod shape;

pub use array::{Array, Real};
pub use dtype::DType;
pub use gemm::Strided;
pub use host::{HostData, HostTensor};
pub use shape::{MAX_RANK, Shape, TensorDesc};
