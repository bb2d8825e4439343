//! What `--device` and `--profile` mean.

use foveate::gpu::{AdapterRequest, Context};
use foveate::{AdapterKind, Error, ErrorKind, Result, runtime};
use serde::Serialize;

use crate::args::DeviceArgs;
use crate::output;
use crate::tuning::{self, Source, TuningReport};

/// What is said of a software rasterizer that `auto` has taken for `run`, which is 1.7 to 2.5 times as fast on the references as on lavapipe (README.md).
/// Training is not: a step of `train forecast` takes the references 20 times as long.
const SOFTWARE: &str = "device: that is a software rasterizer, which runs models on this same processor: --device cpu is likely faster";

/// What a command runs on, and where kernel shapes come from.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    runtime: runtime::Device,
    /// Without a meaning on the CPU references, which have no kernels.
    source: Source,
}

/// An adapter, real or software, and where its kernel shapes come from: what commands about kernels run on.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    pub(crate) context: Context,
    pub(crate) source: Source,
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
            output::note(format!("device: {}", context.describe()));
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
    /// on stderr with advice on how to get an adapter. `reference` is the CPU reference to take, in f32 or f64.
    pub(crate) fn open(args: &DeviceArgs, reference: runtime::Device) -> Result<Self> {
        let flag = args.device.as_str();
        if flag == "cpu" {
            tuning::ignore_without_adapter(&args.profile)?;
            return Ok(Self::from(reference));
        }
        match Adapter::open(args) {
            Err(error) if flag == "auto" && error.kind() == ErrorKind::NoAdapter => {
                output::note(format!(
                    "device: the CPU reference, because there is no adapter; to get one, {}",
                    advice(&error)
                ));
                tuning::ignore_without_adapter(&args.profile)?;
                Ok(Self::from(reference))
            }
            opened => Ok(Self::from(opened?)),
        }
    }

    /// [`Device::open`] for a model that is only run, which says so where the references are likely faster.
    pub(crate) fn open_to_run(args: &DeviceArgs) -> Result<Self> {
        let device = Self::open(args, runtime::Device::Cpu)?;
        let is_software = |context: &Context| context.caps().adapter == AdapterKind::Cpu;
        if args.device == "auto" && device.runtime.context().is_some_and(is_software) {
            output::note(SOFTWARE);
        }
        Ok(device)
    }

    /// The device as the library takes it.
    pub(crate) fn runtime(&self) -> &runtime::Device {
        &self.runtime
    }

    /// The same adapter by way of another context.
    pub(crate) fn with_context(self, context: Context) -> Self {
        Self { runtime: runtime::Device::Gpu(context), ..self }
    }

    /// The device in one line.
    pub(crate) fn describe(&self) -> String {
        self.runtime.describe()
    }

    pub(crate) fn report(&self) -> DeviceReport {
        match self.runtime.context() {
            Some(context) => DeviceReport::of(context, &self.source),
            None => DeviceReport {
                name: "CPU reference".into(),
                kind: format!("{} reference", self.runtime.arithmetic()),
                backend: "none".into(),
                driver: String::new(),
                tuning: None,
                runtime_checks: None,
            },
        }
    }
}

impl From<runtime::Device> for Device {
    /// With the library's own kernel shapes.
    fn from(runtime: runtime::Device) -> Self {
        Self { runtime, source: Source::Table }
    }
}

impl From<Adapter> for Device {
    fn from(Adapter { context, source }: Adapter) -> Self {
        Self { runtime: runtime::Device::Gpu(context), source }
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
        DeviceReport::of(&self.context, &self.source)
    }
}

impl DeviceReport {
    /// An adapter with kernel shapes from `source`.
    fn of(context: &Context, source: &Source) -> Self {
        let info = context.info();
        Self {
            name: info.name.clone(),
            kind: context.caps().adapter.name().into(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            tuning: Some(TuningReport { source: source.clone(), kernels: context.caps().tuning }),
            runtime_checks: Some(context.runtime_checks().name()),
        }
    }
}

/// How to get an adapter, in the words of the error that said there is none.
pub(crate) fn advice(error: &Error) -> &str {
    error.hint().unwrap_or("install a Vulkan driver")
}
