//! What `--pipeline-cache` and `--unchecked` mean.

use std::path::Path;

use foveate::gpu::Context;
use foveate::weights::read_file;
use foveate::{Error, ErrorKind, Result};

use crate::device::Device;
use crate::limits;
use crate::output::Sink;

pub(crate) const FLAG: &str = "--pipeline-cache";

/// What a driver has compiled, to be kept in a file.
#[derive(Debug)]
pub(crate) struct PipelineCache(Context);

/// The file at `path`, the value of [`FLAG`] of `command`, as it will be written. It is read first, and so must be a regular one where it is
/// there: a pipe that is opened to be written would wait for its reader.
pub(crate) fn sink(command: &'static str, path: &Path) -> Result<Sink> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        read(path)?;
    }
    Sink::file(command, FLAG, path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    read_file(path, limits::PIPELINE_CACHE).map_err(|error| failed(path, error.expected(), &error.found()))
}

impl PipelineCache {
    /// `device` with a cache, filled from the file at `path` where there is one; without a path, `device` as it is.
    ///
    /// Fails when the file cannot be read, is damaged or another adapter's, or the device keeps no caches.
    pub(crate) fn open(device: Device, path: Option<&Path>) -> Result<(Device, Option<Self>)> {
        let Some(path) = path else { return Ok((device, None)) };
        let context = device.runtime().context().ok_or_else(|| {
            Error::new(ErrorKind::Argument, "device", FLAG)
                .expecting("an adapter, whose driver compiles")
                .but_found(device.describe())
        })?;
        let context = match path.try_exists() {
            Ok(false) => context.with_pipeline_cache()?,
            _ => load(context, &read(path)?, path)?,
        };
        Ok((device.with_context(context.clone()), Some(Self(context))))
    }

    /// What the driver has compiled by now, as the file holds it.
    pub(crate) fn contents(&self) -> Result<Vec<u8>> {
        self.0.pipeline_cache_data().ok_or_else(|| {
            Error::new(ErrorKind::DeviceLost, "device", FLAG).expecting("a cache to save").but_found("none")
        })
    }
}

#[expect(unsafe_code, reason = "whoever names a file answers for who can write it")]
fn load(context: &Context, blob: &[u8], path: &Path) -> Result<Context> {
    // SAFETY: the library has looked at header and checksum of what `save` put there; that nobody forged it is the user's word, who names
    // the file.
    let loaded = unsafe { context.with_pipeline_cache_from(blob) };
    loaded.map_err(|error| match error.kind() {
        ErrorKind::Io => Error::new(ErrorKind::Io, "device", format!("{FLAG} {}", path.display()))
            .expecting(error.expected())
            .but_found(error.found())
            .with_hint(format!("delete the file, or leave {FLAG} out")),
        _ => error,
    })
}

fn failed(path: &Path, expected: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, "device", format!("{FLAG} {}", path.display()))
        .expecting(expected)
        .but_found(error)
}

/// `device` with its own kernels unchecked, where `wanted`.
pub(crate) fn unchecked(device: Device, wanted: bool) -> Result<Device> {
    if !wanted {
        return Ok(device);
    }
    let trusting = device.runtime().context().map(Context::trusting_own_kernels).ok_or_else(|| {
        Error::new(ErrorKind::Argument, "device", "--unchecked")
            .expecting("an adapter, whose shaders are checked")
            .but_found(device.describe())
    })?;
    Ok(device.with_context(trusting))
}
