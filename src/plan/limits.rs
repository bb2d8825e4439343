//! What a device has room for, of single dispatches, bindings and buffers.

use super::{BoundBuffer, Port};
use crate::kernel::{Caps, Dispatch};
use crate::{Error, ErrorKind, Result};

/// Refuses a dispatch that needs a feature which the device lacks, or more storage buffers than it binds.
pub(super) fn check_shader(op: &'static str, dispatch: &Dispatch, caps: &Caps) -> Result<()> {
    caps.check_features(op, &dispatch.shader)?;
    if dispatch.bindings.len() > caps.max_storage_buffers as usize {
        return Err(Error::new(ErrorKind::Limit, op, dispatch.shader.label)
            .expecting(format!("at most {} storage buffers", caps.max_storage_buffers))
            .but_found(dispatch.bindings.len()));
    }
    Ok(())
}

/// Refuses a buffer that is too large for one storage binding.
pub(super) fn check_binding(op: &'static str, buffer: &BoundBuffer, caps: &Caps) -> Result<()> {
    if buffer.bytes <= caps.max_binding_bytes {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Limit, op, buffer.name)
        .expecting(format!("at most {} bytes in one storage binding", caps.max_binding_bytes))
        .but_found(buffer.bytes))
}

/// Bytes of the buffers that the caller binds to `ports`. Refuses one that is too large for the device.
pub(super) fn port_bytes(ports: &[Port], caps: &Caps) -> Result<u64> {
    let mut total = 0;
    for port in ports.iter().filter(|port| port.desc.elements() > 0) {
        let bytes = port.desc.buffer_bytes();
        if bytes > caps.max_buffer_bytes {
            return Err(Error::new(ErrorKind::Limit, "plan", &port.name)
                .expecting(format!("at most {} bytes in one buffer", caps.max_buffer_bytes))
                .but_found(bytes));
        }
        total += bytes;
    }
    Ok(total)
}
