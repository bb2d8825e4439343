//! The only module that uses wgpu: devices, tuning profiles, shaders, pipelines, programs, reading back.

mod cache;
mod context;
mod loop_limit;
mod parameters;
mod pipeline;
mod pipelines;
mod profile;
mod program;
mod read_back;
mod reflect;
mod self_test;
mod session;

pub use cache::pipeline_cache_payload;
pub use context::{AdapterRequest, Context, Cooperative, RuntimeChecks, adapters, adapters_async};
pub use parameters::Parameters;
pub use profile::{Identity, Measured, Profile, Rate};
pub use program::{Bindings, Program};
pub use session::{Profiled, Session, Timing};

use crate::{Error, ErrorKind};

crate::public_if_unstable! {
    reflect::{Reflected, ReflectedBinding, reflect},
}

/// Whether the outcome of a scope is known at once. In a browser it can only be awaited: there, errors reach the device's own handler.
const HAS_SCOPES: bool = !cfg!(target_arch = "wasm32");

/// The errors wgpu reports while something is created or submitted, caught before they reach the host app's handler.
struct ErrorScopes<'d> {
    device: &'d wgpu::Device,
    guards: Option<Guards>,
}

struct Guards {
    validation: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
    internal: wgpu::ErrorScopeGuard,
}

impl<'d> ErrorScopes<'d> {
    fn open(device: &'d wgpu::Device) -> Self {
        let guards = HAS_SCOPES.then(|| {
            let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
            let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
            Guards { validation, memory, internal }
        });
        Self { device, guards }
    }

    fn first_error(self) -> Option<wgpu::Error> {
        let Guards { validation, memory, internal } = self.guards?;
        // Scopes nest: the last opened is the first to close.
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        let internal = pollster::block_on(internal.pop());
        memory.or(internal).or(validation)
    }

    /// The first error since [`ErrorScopes::open`], as `op` about `argument`.
    fn close(self, op: &'static str, argument: &str) -> Result<(), Error> {
        let device = self.device;
        let Some(error) = self.first_error() else { return Ok(()) };
        let kind = match &error {
            wgpu::Error::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            _ if is_lost(device) => ErrorKind::DeviceLost,
            _ => ErrorKind::Device,
        };
        let text = error.to_string();
        let found = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(with_source(Error::new(kind, op, argument).but_found(found), error))
    }
}

/// An error with what wgpu said as its source.
#[cfg(not(target_arch = "wasm32"))]
fn with_source(error: Error, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    error.caused_by(source)
}

/// An error with what wgpu said: in a browser that cannot leave its thread, which errors may.
#[cfg(target_arch = "wasm32")]
fn with_source(error: Error, source: impl std::error::Error) -> Error {
    if error.found().is_empty() { error.but_found(source) } else { error }
}

/// Text of a file in an error message: bounded, and on one line.
fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let shown: String = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() { shown + ".." } else { shown }
}

/// Whether the device is gone. wgpu reports that to the device's owner alone; whoever shares the device only finds that what
/// it creates is invalid although no error was raised.
fn is_lost(device: &wgpu::Device) -> bool {
    if !HAS_SCOPES {
        return false;
    }
    let scopes = ErrorScopes::open(device);
    let probe = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("foveate probe"),
        size: 4,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let refused = scopes.first_error().is_some();
    let scopes = ErrorScopes::open(device);
    probe.map_async(wgpu::MapMode::Read, .., |_| {});
    let invalid = scopes.first_error().is_some();
    !refused && invalid
}

/// Refuses to go on with a device that is gone, where wgpu would let everything succeed without effect.
fn check_alive(device: &wgpu::Device, op: &'static str) -> Result<(), Error> {
    if is_lost(device) {
        return Err(Error::new(ErrorKind::DeviceLost, op, "device")
            .expecting("a device")
            .but_found("one that is lost"));
    }
    Ok(())
}
