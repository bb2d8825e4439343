//! The only room that names wgpu: devices, shaders, pipelines, programs, reading back.

mod context;
mod pipeline;
mod program;
mod reflect;
mod session;

pub use context::{AdapterRequest, Context, adapters};
pub use program::{Bindings, Program};
pub use reflect::{Reflected, ReflectedBinding, reflect};
pub use session::{Session, Timing};

use crate::{Error, ErrorKind};

/// The errors wgpu reports while something is created or submitted, caught before they reach the host app's handler.
struct ErrorScopes {
    validation: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
}

impl ErrorScopes {
    fn open(device: &wgpu::Device) -> Self {
        // Fields are popped in the reverse of this order.
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        Self { validation, memory, internal }
    }

    /// The first error since [`ErrorScopes::open`], as `op` about `argument`.
    fn close(self, op: &'static str, argument: &str) -> Result<(), Error> {
        let validation = pollster::block_on(self.validation.pop());
        let memory = pollster::block_on(self.memory.pop());
        let internal = pollster::block_on(self.internal.pop());
        match memory.or(internal).or(validation) {
            None => Ok(()),
            Some(error) => Err(device_error(op, argument, &error)),
        }
    }
}

fn device_error(op: &'static str, argument: &str, error: &wgpu::Error) -> Error {
    let text = error.to_string();
    let kind = match error {
        wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        _ if text.contains("is lost") => ErrorKind::DeviceLost,
        _ => ErrorKind::Device,
    };
    Error::new(kind, op, argument).but_found(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
