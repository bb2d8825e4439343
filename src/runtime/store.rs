//! Tensors by name where graphs run: weights, and what a stream keeps.

use std::sync::Arc;

use super::Device;
use super::host::{Host, elsewhere};
use crate::gpu::{self, Context};
use crate::graph::Graph;
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result, cpu};

/// Tensors by name on a [`Device`]. Clones share them on a device through wgpu.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) tensors: Tensors,
}

#[derive(Clone, Debug)]
pub(super) enum Tensors {
    Gpu { context: Context, parameters: gpu::Parameters },
    Cpu(Host),
}

impl Store {
    /// Puts tensors on `device` one by one, so that only one at a time need exist on the host.
    ///
    /// Fails with the first error the iterator yields, when a tensor is larger than a buffer of the device may be, and when the device
    /// is lost or out of memory.
    pub fn upload(
        device: &Device,
        tensors: impl IntoIterator<Item = Result<(String, HostTensor)>>,
    ) -> Result<Self> {
        let tensors = match device {
            Device::Gpu(context) => Tensors::Gpu {
                context: context.clone(),
                parameters: gpu::Parameters::upload(context, tensors)?,
            },
            Device::Cpu => Tensors::Cpu(Host::F32(cpu::Parameters::new(tensors)?)),
            Device::CpuF64 => Tensors::Cpu(Host::F64(cpu::Parameters::new(tensors)?)),
        };
        Ok(Self { tensors })
    }

    /// No tensors: what graphs without parameters run with.
    pub fn empty(device: &Device) -> Self {
        let tensors = match device {
            Device::Gpu(context) => {
                Tensors::Gpu { context: context.clone(), parameters: gpu::Parameters::default() }
            }
            Device::Cpu => Tensors::Cpu(Host::F32(cpu::Parameters::default())),
            Device::CpuF64 => Tensors::Cpu(Host::F64(cpu::Parameters::default())),
        };
        Self { tensors }
    }

    /// Tensors of zeros. Fails when one is larger than a buffer of the device may be, and when the device is lost or out of memory.
    pub fn zeros<'d>(
        device: &Device,
        descs: impl IntoIterator<Item = (&'d str, &'d TensorDesc)>,
    ) -> Result<Self> {
        let tensors = match device {
            Device::Gpu(context) => {
                Tensors::Gpu { context: context.clone(), parameters: gpu::Parameters::zeros(context, descs)? }
            }
            Device::Cpu => Tensors::Cpu(Host::F32(cpu::Parameters::zeros(descs)?)),
            Device::CpuF64 => Tensors::Cpu(Host::F64(cpu::Parameters::zeros(descs)?)),
        };
        Ok(Self { tensors })
    }

    /// These tensors, shared, and `others` beside them on the same device; of a name that both have, that of `others`.
    ///
    /// Fails as [`Store::upload`] does.
    pub fn with(&self, others: impl IntoIterator<Item = Result<(String, HostTensor)>>) -> Result<Self> {
        let tensors = match (&self.tensors, Self::upload(&self.device(), others)?.tensors) {
            (Tensors::Gpu { context, parameters }, Tensors::Gpu { parameters: others, .. }) => {
                Tensors::Gpu { context: context.clone(), parameters: parameters.with(&others) }
            }
            (Tensors::Cpu(host), Tensors::Cpu(others)) => Tensors::Cpu(host.with(&others)?),
            _ => return Err(elsewhere()),
        };
        Ok(Self { tensors })
    }

    /// Where the tensors are.
    pub fn device(&self) -> Device {
        match &self.tensors {
            Tensors::Gpu { context, .. } => Device::Gpu(context.clone()),
            Tensors::Cpu(Host::F32(_)) => Device::Cpu,
            Tensors::Cpu(Host::F64(_)) => Device::CpuF64,
        }
    }

    /// The names in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        match &self.tensors {
            Tensors::Gpu { parameters, .. } => parameters.names().collect(),
            Tensors::Cpu(host) => host.names(),
        }
    }

    /// Names and descriptors, in alphabetical order.
    pub fn descs(&self) -> Vec<(String, TensorDesc)> {
        let named = |(name, desc): (&str, TensorDesc)| (name.to_owned(), desc);
        match &self.tensors {
            Tensors::Gpu { parameters, .. } => parameters.descs().map(named).collect(),
            Tensors::Cpu(host) => host.descs().into_iter().map(named).collect(),
        }
    }

    /// What a tensor holds now. Fails when there is none of that name, and when the device is lost or out of memory.
    pub fn read(&self, name: &str) -> Result<HostTensor> {
        match &self.tensors {
            Tensors::Gpu { context, parameters } => parameters.download(context, name),
            Tensors::Cpu(host) => host.get(name).ok_or_else(|| {
                Error::new(ErrorKind::Binding, "parameters", format!("`{name}`"))
                    .expecting(self.names().join(", "))
                    .but_found("an unknown name")
            }),
        }
    }
}

/// What one stream (a text that is being continued, a recording that is being read) keeps from run to run: the tensors that
/// [`Graph::state`] names. Streams of one model share its weights and its programs.
///
/// Tensors start with zeros and never change size. Several streams that run together as one batch have one state, whose tensors have
/// the streams as their outermost axis.
#[derive(Debug)]
pub struct State {
    pub(super) store: Store,
    /// Tells a runner which of its bindings are this state's.
    pub(super) identity: Arc<()>,
    /// Whether a run left numbers in it that are not finite, or may have.
    broken: bool,
}

impl State {
    /// Zeros for all states of `graph`. Fails when the device has no room.
    pub fn new(device: &Device, graph: &Graph) -> Result<Self> {
        let states = graph.states().iter().map(|(name, value)| Ok((name.as_str(), graph.desc(*value)?)));
        let states = states.collect::<Result<Vec<_>>>()?;
        Ok(Self { store: Store::zeros(device, states)?, identity: Arc::new(()), broken: false })
    }

    /// A copy of this stream, which continues by itself from here. Fails when the device has no room.
    pub fn fork(&self) -> Result<Self> {
        let tensors = match &self.store.tensors {
            Tensors::Gpu { context, parameters } => {
                Tensors::Gpu { context: context.clone(), parameters: parameters.duplicate(context)? }
            }
            Tensors::Cpu(host) => Tensors::Cpu(host.clone()),
        };
        Ok(Self { store: Store { tensors }, identity: Arc::new(()), broken: self.broken })
    }

    /// Starts anew: all zeros. Fails when the device is lost.
    pub fn reset(&mut self) -> Result<()> {
        self.broken = false;
        match &mut self.store.tensors {
            Tensors::Gpu { context, parameters } => parameters.clear(context),
            Tensors::Cpu(host) => host.clear(),
        }
    }

    /// The error of a run that updated this state and gave numbers that are not finite; no run takes the state from then on.
    pub(super) fn broken_by(&mut self, error: Error) -> Error {
        self.broken = true;
        error.with_another_hint(
            "the stream has read them: it can go on from a reset or from what was saved of it",
        )
    }

    /// Refuses a state that a run has left with numbers that are not finite.
    pub(crate) fn check_sound(&self) -> Result<()> {
        if !self.broken {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFinite, "run", "state")
            .expecting("one whose runs gave finite numbers, or that was reset or written since")
            .but_found("one that a failed run has updated"))
    }

    /// The tensors as the CPU references take them. Fails when they are elsewhere.
    pub(super) fn on_cpu(&self) -> Result<&Host> {
        match &self.store.tensors {
            Tensors::Cpu(host) => Ok(host),
            Tensors::Gpu { .. } => Err(elsewhere()),
        }
    }

    /// The tensors on the device of `context`. Fails when they are elsewhere.
    pub(super) fn on_gpu(&self, context: &Context) -> Result<&gpu::Parameters> {
        match &self.store.tensors {
            Tensors::Gpu { context: own, parameters } if own.device() == context.device() => Ok(parameters),
            _ => Err(elsewhere()),
        }
    }

    /// Takes over what a run of the CPU references left.
    pub(super) fn refresh(&mut self, all: &Host) -> Result<()> {
        match &mut self.store.tensors {
            Tensors::Cpu(host) => host.refresh(all),
            Tensors::Gpu { .. } => Err(elsewhere()),
        }
    }

    /// The tensors, for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Replaces what tensors hold, by name; the others keep what they have.
    ///
    /// Fails when a name is unknown or a tensor of another shape or type, and then nothing is replaced; and when the device is lost.
    pub fn write(&mut self, tensors: &[(&str, &HostTensor)]) -> Result<()> {
        match &mut self.store.tensors {
            Tensors::Gpu { context, parameters } => parameters.write(context, tensors)?,
            Tensors::Cpu(host) => host.write(tensors)?,
        }
        self.broken &= self.store.names().iter().any(|name| tensors.iter().all(|(given, _)| given != name));
        Ok(())
    }
}

#[cfg(feature = "models")]
impl State {
    /// Writes all tensors to the safetensors file at `path` atomically.
    ///
    /// Fails with [`ErrorKind::Io`] when it cannot be written, with [`ErrorKind::Diverged`] when a number is not finite, and when the
    /// device is lost; the file is then as it was.
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        self.save_with(path, &[])
    }

    /// [`State::save`] with metadata by name.
    pub(crate) fn save_with(
        &self,
        path: impl AsRef<std::path::Path>,
        metadata: &[(&str, String)],
    ) -> Result<()> {
        let read = |name: &str| Ok((name.to_owned(), self.store.read(name)?));
        let tensors = self.store.names().into_iter().map(read).collect::<Result<Vec<_>>>()?;
        crate::weights::write_tensors(path, &tensors, metadata)
    }

    /// Goes on from what [`State::save`] wrote of a state of the same tensors.
    ///
    /// Fails, changing nothing, when the file is damaged or another state's, and when the device is lost.
    pub fn load(&mut self, path: impl AsRef<std::path::Path>) -> Result<()> {
        use crate::weights::{Checkpoint, quote};
        let checkpoint = Checkpoint::open(path)?;
        let descs = self.store.descs();
        let refused = |name: &str| {
            Error::new(ErrorKind::Weights, checkpoint.source().to_owned(), format!("`{}`", quote::name(name)))
        };
        if let Some(other) = checkpoint.names().find(|name| descs.iter().all(|(known, _)| known != name)) {
            return Err(refused(other).expecting("a tensor of the state").but_found("another name"));
        }
        let mut tensors = Vec::with_capacity(descs.len());
        for (name, desc) in &descs {
            let stored = checkpoint.tensor(name);
            let fits = |stored: &crate::weights::StoredTensor<'_>| {
                stored.shape() == desc.shape.dims()
                    && stored.dtype().eq_ignore_ascii_case(&desc.dtype.to_string())
            };
            let Some(stored) = stored.filter(fits) else {
                let found = stored.map_or("none".to_owned(), |it| format!("{} {:?}", it.dtype(), it.shape()));
                return Err(refused(name).expecting(desc).but_found(found));
            };
            tensors.push(HostTensor::from_bytes(desc, stored.bytes())?);
        }
        let names = descs.iter().map(|(name, _)| name.as_str());
        self.write(&names.zip(&tensors).collect::<Vec<_>>())
    }
}
