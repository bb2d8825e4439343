//! Weights and states on a device, bound by any number of programs.

use std::collections::BTreeMap;

use super::read_back::{Part, download, download_async};
use super::session::write_padded;
use super::{Context, ErrorScopes, check_alive};
use crate::plan::Port;
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Bytes in flight to the device before they are submitted: the driver keeps a copy until then.
const UPLOAD_BYTES: u64 = 64 << 20;

/// Tensors on a device by name, for [`super::Program::bind_with`] and [`super::Session::bind`]. Clones share the buffers.
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
            let buffer = allocate(context, &name, &desc)?;
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

    /// Tensors of zeros: what a stream's states start with.
    ///
    /// Fails when one is larger than a buffer of the device may be, and when the device is lost or out of memory.
    pub fn zeros<'d>(
        context: &Context,
        descs: impl IntoIterator<Item = (&'d str, &'d TensorDesc)>,
    ) -> Result<Self> {
        // wgpu's buffers hold zeros when they are made.
        let make = |(name, desc): (&str, &TensorDesc)| {
            Ok((name.to_owned(), (desc.clone(), allocate(context, name, desc)?)))
        };
        let tensors = descs.into_iter().map(make).collect::<Result<_>>()?;
        check_alive(context.device(), "parameters")?;
        Ok(Self { tensors })
    }

    /// Copies of all tensors in buffers of their own, as they are after every run that was submitted to `context`'s queue.
    ///
    /// Fails when the device is lost or out of memory.
    pub fn duplicate(&self, context: &Context) -> Result<Self> {
        let copy = Self::zeros(context, self.tensors.iter().map(|(name, (desc, _))| (name.as_str(), desc)))?;
        let scopes = ErrorScopes::open(context.device());
        let mut encoder = context
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
        for ((desc, from), (_, to)) in self.tensors.values().zip(copy.tensors.values()) {
            encoder.copy_buffer_to_buffer(from, 0, to, 0, desc.buffer_bytes());
        }
        context.queue().submit([encoder.finish()]);
        scopes.close("parameters", "copy")?;
        Ok(copy)
    }

    /// The tensors of both; those of `other` where both have a name. Buffers are shared.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut tensors = self.tensors.clone();
        tensors.extend(other.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
        Self { tensors }
    }

    /// Replaces what tensors hold, by name, for the runs that follow.
    ///
    /// Fails when a name is unknown or a tensor of another shape or type, and then nothing is replaced; and when the device is lost.
    pub fn write(&self, context: &Context, tensors: &[(&str, &HostTensor)]) -> Result<()> {
        let mut writes = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            let (desc, buffer) = self.buffer(name).ok_or_else(|| self.unknown(name))?;
            if *desc != tensor.desc() {
                return Err(Error::new(ErrorKind::Shape, "parameters", format!("`{name}`"))
                    .expecting(desc)
                    .but_found(tensor.desc()));
            }
            writes.push((buffer, tensor.bytes()));
        }
        let scopes = ErrorScopes::open(context.device());
        for (buffer, bytes) in writes {
            write_padded(context.queue(), buffer, bytes);
        }
        scopes.close("parameters", "upload")
    }

    fn unknown(&self, name: &str) -> Error {
        Error::new(ErrorKind::Binding, "parameters", format!("`{name}`"))
            .expecting(self.names().collect::<Vec<_>>().join(", "))
            .but_found("an unknown name")
    }

    /// Sets all numbers to zero. Fails when the device is lost.
    pub fn clear(&self, context: &Context) -> Result<()> {
        let scopes = ErrorScopes::open(context.device());
        let mut encoder = context
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("foveate") });
        for (_, buffer) in self.tensors.values() {
            encoder.clear_buffer(buffer, 0, None);
        }
        context.queue().submit([encoder.finish()]);
        scopes.close("parameters", "clear")
    }

    /// The names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Names and descriptors in alphabetical order.
    pub fn descs(&self) -> impl Iterator<Item = (&str, TensorDesc)> {
        self.tensors.iter().map(|(name, (desc, _))| (name.as_str(), desc.clone()))
    }

    /// The buffer of a tensor, and what it holds.
    pub fn buffer(&self, name: &str) -> Option<(&TensorDesc, &wgpu::Buffer)> {
        self.tensors.get(name).map(|(desc, buffer)| (desc, buffer))
    }

    /// What a tensor holds now, after every run that was submitted to `context`'s queue.
    ///
    /// Fails when there is none of that name, and when the device is lost or out of memory.
    pub fn download(&self, context: &Context, name: &str) -> Result<HostTensor> {
        let (desc, part) = self.part(name)?;
        HostTensor::from_bytes(desc, &download(context, part)?)
    }

    /// Async form of [`Parameters::download`].
    pub async fn download_async(&self, context: &Context, name: &str) -> Result<HostTensor> {
        let (desc, part) = self.part(name)?;
        HostTensor::from_bytes(desc, &download_async(context, &[part]).await?.concat())
    }

    /// What a tensor is, and where its bytes are.
    fn part(&self, name: &str) -> Result<(&TensorDesc, Part<'_>)> {
        let (desc, buffer) = self.buffer(name).ok_or_else(|| self.unknown(name))?;
        // Staging buffers are never empty; `buffer_bytes` is not, either.
        Ok((desc, Part { buffer, offset: 0, bytes: desc.buffer_bytes() }))
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

/// A buffer of zeros for a tensor.
fn allocate(context: &Context, name: &str, desc: &TensorDesc) -> Result<wgpu::Buffer> {
    if desc.buffer_bytes() > context.caps().max_buffer_bytes {
        return Err(Error::new(ErrorKind::Limit, "parameters", format!("`{name}`"))
            .expecting(format!("at most {} bytes in one buffer", context.caps().max_buffer_bytes))
            .but_found(desc.buffer_bytes()));
    }
    let scopes = ErrorScopes::open(context.device());
    let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some(name),
        size: desc.buffer_bytes(),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    scopes.close("parameters", name)?;
    Ok(buffer)
}
