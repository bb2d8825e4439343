//! Weights on a device, uploaded once and bound by any number of programs.

use std::collections::BTreeMap;

use super::session::{download, write_padded};
use super::{Context, ErrorScopes, check_alive};
use crate::plan::Port;
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Bytes in flight to the device before they are submitted: the driver keeps a copy until then.
const UPLOAD_BYTES: u64 = 64 << 20;

/// Tensors on a device by name, for [`super::Program::bind_with`] and [`super::Session::with_parameters`]. Clones share the buffers.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    tensors: BTreeMap<String, (TensorDesc, wgpu::Buffer)>,
}

impl Parameters {
    /// Uploads tensors one by one, so that only one at a time need exist on the host.
    ///
    /// Fails with the first error the iterator yields, when a tensor is larger than a buffer of the device may be, and when the
    /// device is lost or out of memory.
    pub fn upload(
        context: &Context,
        tensors: impl IntoIterator<Item = Result<(String, HostTensor)>>,
    ) -> Result<Self> {
        let (device, queue) = (context.device(), context.queue());
        let mut uploaded = BTreeMap::new();
        let mut in_flight = 0;
        for tensor in tensors {
            let (name, tensor) = tensor?;
            let desc = tensor.desc();
            if desc.buffer_bytes() > context.caps().max_buffer_bytes {
                return Err(Error::new(ErrorKind::Limit, "parameters", format!("`{name}`"))
                    .expecting(format!("at most {} bytes in one buffer", context.caps().max_buffer_bytes))
                    .but_found(desc.buffer_bytes()));
            }
            let scopes = ErrorScopes::open(device);
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&name),
                size: desc.buffer_bytes(),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            scopes.close("parameters", &name)?;
            let scopes = ErrorScopes::open(device);
            write_padded(queue, &buffer, tensor.bytes());
            in_flight += desc.buffer_bytes();
            if in_flight > UPLOAD_BYTES {
                queue.submit([]);
                in_flight = 0;
            }
            scopes.close("parameters", &name)?;
            uploaded.insert(name, (desc, buffer));
        }
        queue.submit([]);
        check_alive(device, "parameters")?;
        Ok(Self { tensors: uploaded })
    }

    /// The names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The buffer of a tensor, and what it holds.
    pub fn buffer(&self, name: &str) -> Option<(&TensorDesc, &wgpu::Buffer)> {
        self.tensors.get(name).map(|(desc, buffer)| (desc, buffer))
    }

    /// What a tensor holds now, after every run that was submitted to `context`'s queue.
    ///
    /// Fails when there is none of that name, and when the device is lost or out of memory.
    pub fn download(&self, context: &Context, name: &str) -> Result<HostTensor> {
        let (desc, buffer) = self.buffer(name).ok_or_else(|| {
            Error::new(ErrorKind::Binding, "parameters", format!("`{name}`"))
                .expecting(self.names().collect::<Vec<_>>().join(", "))
                .but_found("an unknown name")
        })?;
        // Staging buffers are never empty; `buffer_bytes` is not, either.
        let bytes = download(context, buffer, 0, desc.buffer_bytes())?;
        HostTensor::from_bytes(desc, &bytes)
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|(desc, _)| desc.buffer_bytes()).sum()
    }

    /// The buffer for a program's parameter; none when the store has none of that name.
    pub(super) fn get(&self, port: &Port) -> Result<Option<&wgpu::Buffer>> {
        match self.tensors.get(&port.name) {
            Some((desc, _)) if *desc != port.desc => {
                Err(Error::new(ErrorKind::Shape, "bind", format!("parameter `{}`", port.name))
                    .expecting(&port.desc)
                    .but_found(desc))
            }
            stored => Ok(stored.map(|(_, buffer)| buffer)),
        }
    }
}
