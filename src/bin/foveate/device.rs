//! What `--device` and `--profile` mean.

use foveate::gpu::{AdapterRequest, Context};
use foveate::{Error, ErrorKind, Result, runtime};
use serde::Serialize;

use crate::args::DeviceArgs;
use crate::tuning::{self, Source, TuningReport};

/// What a command runs on.
#[derive(Clone, Debug)]
pub(crate) enum Device {
    /// An adapter, real or software, through wgpu.
    Gpu(Adapter),
    /// The CPU references.
    Cpu(Arithmetic),
}

/// An adapter, and where its kernel shapes come from.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    pub(crate) context: Context,
    pub(crate) source: Source,
}

/// What the CPU references compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// As fast as they get: whole models.
    F32,
    /// What kernels are measured against.
    F64,
}

impl Arithmetic {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// The device as reports carry it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeviceReport {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) backend: String,
    pub(crate) driver: String,
    /// None on the CPU reference, which has no kernels.
    pub(crate) tuning: Option<TuningReport>,
    /// Which shaders wgpu's runtime checks are in; there are none on the CPU reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_checks: Option<&'static str>,
}

/// The adapter that the value of `--device` asks for. With `auto`, one line on stderr says which was taken.
pub(crate) fn adapter(flag: &str) -> Result<Context> {
    match flag {
        "auto" => {
            let context = Context::headless(&AdapterRequest::Any)?;
            eprintln!("device: {}", context.describe());
            Ok(context)
        }
        "gpu" => Context::headless(&AdapterRequest::Any),
        "" => Err(Error::new(ErrorKind::Argument, "device", "--device")
            .expecting("auto, gpu, cpu or part of an adapter's name")
            .but_found("an empty text")),
        name => Context::headless(&AdapterRequest::Named(name.to_owned())),
    }
}

impl Device {
    /// The device that `--device` asks for, with the kernel shapes of `--profile`. Only `auto` falls back, only to the CPU reference, and it says so
    /// on stderr with advice on how to get an adapter. A CPU reference computes in `arithmetic`.
    pub(crate) fn open(args: &DeviceArgs, arithmetic: Arithmetic) -> Result<Self> {
        let flag = args.device.as_str();
        if flag == "cpu" {
            tuning::ignore_without_adapter(&args.profile)?;
            return Ok(Self::Cpu(arithmetic));
        }
        match Adapter::open(args) {
            Err(error) if flag == "auto" && error.kind() == ErrorKind::NoAdapter => {
                eprintln!(
                    "device: the CPU reference, because there is no adapter; to get one, {}",
                    advice(&error)
                );
                tuning::ignore_without_adapter(&args.profile)?;
                Ok(Self::Cpu(arithmetic))
            }
            opened => opened.map(Self::Gpu),
        }
    }

    /// The device as the library takes it.
    pub(crate) fn runtime(&self) -> runtime::Device {
        match self {
            Self::Gpu(adapter) => runtime::Device::Gpu(adapter.context.clone()),
            Self::Cpu(_) => runtime::Device::Cpu,
        }
    }

    /// The device in one line.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Gpu(adapter) => adapter.context.describe(),
            Self::Cpu(arithmetic) => format!("CPU reference ({})", arithmetic.name()),
        }
    }

    pub(crate) fn report(&self) -> DeviceReport {
        match self {
            Self::Gpu(adapter) => adapter.report(),
            Self::Cpu(arithmetic) => DeviceReport {
                name: "CPU reference".into(),
                kind: format!("{} reference", arithmetic.name()),
                backend: "none".into(),
                driver: String::new(),
                tuning: None,
                runtime_checks: None,
            },
        }
    }
}

impl Adapter {
    /// The adapter that `--device` asks for, with the kernel shapes of `--profile`; a profile that is none is refused before any adapter is
    /// looked for.
    pub(crate) fn open(args: &DeviceArgs) -> Result<Self> {
        let profile = tuning::load(&args.profile)?;
        let (context, source) = tuning::apply(adapter(&args.device)?, &profile)?;
        Ok(Self { context, source })
    }

    pub(crate) fn report(&self) -> DeviceReport {
        let info = self.context.info();
        DeviceReport {
            name: info.name.clone(),
            kind: self.context.caps().adapter.name().into(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            tuning: Some(TuningReport { source: self.source.clone(), kernels: self.context.caps().tuning }),
            runtime_checks: Some(self.context.runtime_checks().name()),
        }
    }
}

/// How to get an adapter, in the words of the error that said there is none.
pub(crate) fn advice(error: &Error) -> &str {
    error.hint().unwrap_or("install a Vulkan driver")
}
