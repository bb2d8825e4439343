//! A device with its capabilities: our own, or an app's.

use std::sync::Arc;

use super::loop_limit::{self, Known};
use super::pipeline::Pipeline;
use super::pipelines::Pipelines;
use super::profile::Profile;
use super::{self_test, with_source};
use crate::kernel::{AdapterKind, Caps, CooperativeShape, Shader, Tuning};
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// What to say to somebody whose machine has no adapter.
const NO_ADAPTER_ADVICE: &str = "install a Vulkan driver: the graphics card's own, or the software rasterizer lavapipe \
    (Debian and Ubuntu: `apt-get install mesa-vulkan-drivers libvulkan1`; Fedora: `dnf install mesa-vulkan-drivers`; \
    Arch: `pacman -S vulkan-swrast`)";

/// What to say to somebody whose build has none of wgpu's backends.
const NO_BACKEND_ADVICE: &str =
    "enable the feature `vulkan`, `metal`, `dx12` or `webgpu` of foveate, or the same of your app's wgpu";

/// What shaders that multiply cooperative matrices need.
const COOPERATIVE_MATRIX: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;

/// What shaders that use subgroups need.
const SUBGROUPS: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::SUBGROUP_BARRIER);

/// Which adapter a headless context should take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterRequest {
    /// The best there is: a discrete GPU, then integrated, virtual, unknown, and a software rasterizer last.
    Any,
    /// The best of this kind.
    Kind(AdapterKind),
    /// The first whose name contains this text, whatever the case.
    Named(String),
}

/// A device, its queue, its capabilities, and the pipelines made for it so far. Cloning shares all of them.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    caps: Caps,
    cooperative: Cooperative,
    checks: RuntimeChecks,
    cache: Option<wgpu::PipelineCache>,
    pipelines: Pipelines,
}

/// Whether kernels multiply cooperative matrices on a device, and why not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cooperative {
    /// The device was made without them or without subgroups, or its adapter lists none.
    Absent,
    /// These are there, but nobody has called [`Context::self_tested`]: none is used.
    Untested(Vec<CooperativeShape>),
    /// The driver computes with them what the CPU does.
    Passed,
    /// It does not, and why: none is used.
    Failed(Error),
}

/// Which shaders carry the checks that wgpu adds: that every index lies within its buffer and every loop comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeChecks {
    /// All.
    All,
    /// All but this crate's own kernels, as far as their tiles are those of the built-in tuning table and they use no cooperative matrices: see
    /// [`Context::trusting_own_kernels`].
    ForeignShaders,
    /// None: see [`Context::without_runtime_checks`].
    None,
}

impl RuntimeChecks {
    /// The checks in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all shaders",
            Self::ForeignShaders => "all but own shaders in proven tiles",
            Self::None => "no shaders",
        }
    }

    /// What a shader is compiled with that is one of the crate's own, or is not.
    fn of(self, is_proven: bool) -> wgpu::ShaderRuntimeChecks {
        let checked = wgpu::ShaderRuntimeChecks::checked();
        match (self, is_proven) {
            (Self::All, _) | (Self::ForeignShaders, false) => checked,
            // Guards of divisions stay: what they cost does not show, and nobody has to prove that no divisor is 0.
            (Self::ForeignShaders, true) => {
                wgpu::ShaderRuntimeChecks { bounds_checks: false, force_loop_bounding: false, ..checked }
            }
            (Self::None, _) => wgpu::ShaderRuntimeChecks::unchecked(),
        }
    }
}

/// Every adapter of this machine that wgpu can compute on (Vulkan, Metal, DX12), best kind first. None in a build without a backend for
/// this system: they are features of this crate and of wgpu.
pub fn adapters() -> Vec<wgpu::Adapter> {
    pollster::block_on(adapters_async())
}

/// Async form of [`adapters`]; in a browser with the feature `webgpu`, its one adapter.
pub async fn adapters_async() -> Vec<wgpu::Adapter> {
    let backends = backends();
    // wgpu panics without any.
    if backends.is_empty() {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = instance.enumerate_adapters(backends).await;
    adapters.retain(|adapter| {
        adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters.sort_by_key(|adapter| preference(kind_of(adapter.get_info().device_type)));
    adapters
}

/// The backends of this build that adapters are looked for on. OpenGL is none of them: it lacks what many kernels need.
fn backends() -> wgpu::Backends {
    let wanted = wgpu::Backends::VULKAN
        | wgpu::Backends::METAL
        | wgpu::Backends::DX12
        | wgpu::Backends::BROWSER_WEBGPU;
    wgpu::Instance::enabled_backend_features() & wanted
}

fn preference(kind: AdapterKind) -> usize {
    use AdapterKind::{Cpu, Discrete, Integrated, Other, Virtual};
    [Discrete, Integrated, Virtual, Other, Cpu].iter().position(|&k| k == kind).unwrap_or(usize::MAX)
}

fn kind_of(device_type: wgpu::DeviceType) -> AdapterKind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Cpu,
        wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

impl Context {
    /// A device of our own on the adapter that `request` asks for, with its full limits and the optional features our kernels
    /// use. Fails when no adapter matches; there is no fallback to another.
    pub fn headless(request: &AdapterRequest) -> Result<Self> {
        pollster::block_on(Self::headless_async(request))
    }

    /// Async form of [`Self::headless`].
    pub async fn headless_async(request: &AdapterRequest) -> Result<Self> {
        let adapters = adapters_async().await;
        let matches = |adapter: &&wgpu::Adapter| {
            let info = adapter.get_info();
            match request {
                AdapterRequest::Any => true,
                AdapterRequest::Kind(kind) => kind_of(info.device_type) == *kind,
                AdapterRequest::Named(name) => info.name.to_lowercase().contains(&name.to_lowercase()),
            }
        };
        let adapter = adapters.iter().find(matches).ok_or_else(|| no_adapter(request, &adapters))?;
        Self::on_adapter_async(adapter).await
    }

    /// A device of our own on `adapter`, with its full limits and the optional features our kernels use. A [self-test](Self::self_tested) runs where
    /// the tuning table would use cooperative matrices on such an adapter, and on software rasterizers that may end loops early
    /// ([`Caps::max_loop_turns`]).
    pub fn on_adapter(adapter: &wgpu::Adapter) -> Result<Self> {
        pollster::block_on(Self::on_adapter_async(adapter))
    }

    /// Async form of [`Self::on_adapter`].
    pub async fn on_adapter_async(adapter: &wgpu::Adapter) -> Result<Self> {
        let wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | SUBGROUPS
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::PIPELINE_CACHE;
        let context = loop_limit::tried(Self::request(adapter, wanted | COOPERATIVE_MATRIX).await?).await;
        if !context.caps().tuning.wants_cooperative() {
            return Ok(context);
        }
        let tested = context.self_tested_async().await;
        match tested.cooperative() {
            // The test has cost the device.
            Cooperative::Failed(error) if error.kind() == ErrorKind::DeviceLost => {
                let context = Self::request(adapter, wanted).await?;
                Ok(context.with(
                    context.caps().clone(),
                    Cooperative::Failed(error.clone()),
                    RuntimeChecks::All,
                ))
            }
            _ => Ok(tested),
        }
    }

    #[expect(unsafe_code, reason = "experimental features of wgpu are an unsafe choice")]
    async fn request(adapter: &wgpu::Adapter, wanted: wgpu::Features) -> Result<Self> {
        let requested = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("foveate"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            // SAFETY: wgpu asks that its users know that these features may have bugs, and report them. Of them all, cooperative matrices
            // are wanted, and a self-test decides whether they are used.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        });
        let (device, queue) = requested
            .await
            .map_err(|error| with_source(Error::new(ErrorKind::Device, "context", "device"), error))?;
        Ok(Self::from_device(&device, &queue, adapter.get_info(), &adapter.cooperative_matrix_properties()))
    }

    /// An app's own device and queue. `info` and `cooperative` come from its adapter ([`wgpu::Adapter::get_info`] and
    /// [`wgpu::Adapter::cooperative_matrix_properties`]), because a device cannot be asked for them; an empty list is always right. Limits and
    /// features are read from the device: what the app did not request is not used. Cooperative matrices are used after [`Self::self_tested`].
    /// Nothing is submitted: [`Caps::max_loop_turns`] follows from the driver's version.
    pub fn from_device(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        info: wgpu::AdapterInfo,
        cooperative: &[wgpu::CooperativeMatrixProperties],
    ) -> Self {
        let caps = caps(&device.limits(), device.features(), &info);
        let listed: Vec<_> = cooperative.iter().filter_map(cooperative_shape).collect();
        // Kernels go by the number of their subgroup.
        let needed = COOPERATIVE_MATRIX | wgpu::Features::SUBGROUP;
        let is_there = device.features().contains(needed) && !listed.is_empty();
        let cooperative = if is_there { Cooperative::Untested(listed) } else { Cooperative::Absent };
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                queue: queue.clone(),
                info,
                caps,
                cooperative,
                checks: RuntimeChecks::All,
                cache: None,
                pipelines: Pipelines::default(),
            }),
        }
    }

    /// The same device, with cooperative matrices in use if the driver multiplies them correctly. This submits a few small matrix products and
    /// attention steps, waits for them, and compares the results with the CPU reference; on a software rasterizer of unknown version it also counts
    /// the iterations of a long loop. If the driver fails, cooperative matrices are not used, and [`Self::cooperative`] says why. (A driver that
    /// loses the device during the test has lost it for the app, too; [`Self::on_adapter`] then takes a new one.)
    #[must_use]
    pub fn self_tested(&self) -> Self {
        pollster::block_on(self.self_tested_async())
    }

    /// Async form of [`Self::self_tested`].
    #[must_use]
    pub async fn self_tested_async(&self) -> Self {
        let tried = loop_limit::tried(self.clone()).await;
        let Cooperative::Untested(shapes) = tried.cooperative() else { return tried };
        let trusting = Caps { cooperative: shapes.clone(), ..tried.caps().clone() };
        let trusting = tried.with(trusting, Cooperative::Passed, tried.shared.checks);
        match self_test::run(&trusting).await {
            Ok(()) => trusting,
            Err(error) => tried.with(tried.caps().clone(), Cooperative::Failed(error), tried.shared.checks),
        }
    }

    /// The same device with other capabilities.
    pub(super) fn with_caps(&self, caps: Caps) -> Self {
        self.with(caps, self.cooperative().clone(), self.shared.checks)
    }

    /// The same device with other capabilities, and pipelines of its own.
    fn with(&self, caps: Caps, cooperative: Cooperative, checks: RuntimeChecks) -> Self {
        self.made_with(caps, cooperative, checks, self.shared.cache.clone())
    }

    /// The same device with pipelines of its own, which are made by way of `cache`.
    pub(super) fn with_cache(&self, cache: wgpu::PipelineCache) -> Self {
        let Shared { caps, cooperative, checks, .. } = &*self.shared;
        self.made_with(caps.clone(), cooperative.clone(), *checks, Some(cache))
    }

    fn made_with(
        &self,
        caps: Caps,
        cooperative: Cooperative,
        checks: RuntimeChecks,
        cache: Option<wgpu::PipelineCache>,
    ) -> Self {
        let Shared { device, queue, info, .. } = &*self.shared;
        Self {
            shared: Arc::new(Shared {
                device: device.clone(),
                queue: queue.clone(),
                info: info.clone(),
                caps,
                cooperative,
                checks,
                cache,
                pipelines: Pipelines::default(),
            }),
        }
    }

    /// The same device, on which this crate's own kernels go without the bounds checks and loop guards that wgpu adds to shaders;
    /// [`Self::with_runtime_checks`] is the way back.
    ///
    /// A kernel counts as the crate's own when all of this holds: its op is one of [`crate::ops`], which has checked the arguments against its
    /// contract; no text of it comes from a user, as that of custom rules does; it multiplies no cooperative matrices; and the plan was made with a
    /// row of the tuning table ([`crate::kernel::Tuning::for_adapter`]). Those kernels have passed the conformance cases without checks, with buffers
    /// filled with NaN beforehand and guard bytes behind each, and they clamp or compare every number that they load before it becomes an index, so
    /// that no contents of a buffer lead to an access outside of one. All other shaders keep their checks.
    #[must_use]
    pub fn trusting_own_kernels(&self) -> Self {
        self.with(self.caps().clone(), self.cooperative().clone(), RuntimeChecks::ForeignShaders)
    }

    /// The same device, with wgpu's checks in all shaders, as contexts have them unless told otherwise.
    #[must_use]
    pub fn with_runtime_checks(&self) -> Self {
        self.with(self.caps().clone(), self.cooperative().clone(), RuntimeChecks::All)
    }

    /// The same device, with all shaders compiled without the bounds checks, loop guards and division guards that wgpu adds.
    ///
    /// # Safety
    ///
    /// No shader of a program made with the returned context may read or write outside its bindings or loop forever. The ops of
    /// this crate keep to that for inputs that fit their contracts; for ops and rules of your own you answer.
    #[expect(unsafe_code, reason = "hands wgpu's contract for trusted shaders on to the caller")]
    #[must_use]
    pub unsafe fn without_runtime_checks(&self) -> Self {
        self.with(self.caps().clone(), self.cooperative().clone(), RuntimeChecks::None)
    }

    /// Which shaders carry wgpu's checks.
    pub fn runtime_checks(&self) -> RuntimeChecks {
        self.shared.checks
    }

    pub(super) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.shared.cache.as_ref()
    }

    /// The same device with the kernel shapes of `profile`. Shapes for cooperative matrices are used where [`Self::cooperative`] says
    /// that the device multiplies them right, as ever: call [`Self::self_tested`] first, or on the result.
    ///
    /// Fails with [`ErrorKind::Foreign`] when the profile is of another adapter, driver or version of this crate, of which it names one with
    /// what was expected and found: callers may go on with `self` and say why. Fails with [`ErrorKind::Argument`] for tiles that no kernel
    /// can have, and with [`ErrorKind::Unsupported`] or [`ErrorKind::Limit`] for those that need features or limits which the device was
    /// made without.
    pub fn tuned(&self, profile: &Profile) -> Result<Self> {
        profile.check(self.info(), self.caps())?;
        let Shared { caps, cooperative, checks, .. } = &*self.shared;
        let caps = Caps { tuning: profile.tuning, ..caps.clone() };
        Ok(self.with(caps, cooperative.clone(), *checks))
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// Name, backend and driver of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// What plans for this device are made with.
    pub fn caps(&self) -> &Caps {
        &self.shared.caps
    }

    /// Whether kernels multiply cooperative matrices, and why not.
    pub fn cooperative(&self) -> &Cooperative {
        &self.shared.cooperative
    }

    /// The adapter in one line: name, kind, backend, driver.
    pub fn describe(&self) -> String {
        let wgpu::AdapterInfo { name, backend, driver, driver_info, .. } = self.info();
        let driver = [driver.as_str(), driver_info.as_str()].join(" ");
        format!("{name} ({}, {backend}, {})", self.caps().adapter.name(), driver.trim())
    }

    /// The pipeline of `shader`, made on first use; of one that a plan tells is the crate's own, or of another.
    pub(super) fn pipeline(&self, shader: &Shader, is_proven: bool) -> Result<Arc<Pipeline>> {
        let Shared { device, caps, checks, cache, pipelines, .. } = &*self.shared;
        let make = || Pipeline::new(device, shader, caps, checks.of(is_proven), cache.as_ref());
        pipelines.get_or_make((shader.clone(), is_proven), make)
    }
}

fn no_adapter(request: &AdapterRequest, adapters: &[wgpu::Adapter]) -> Error {
    let wanted = match request {
        AdapterRequest::Any => "any adapter".to_owned(),
        AdapterRequest::Kind(kind) => format!("a {}", kind.name()),
        AdapterRequest::Named(name) => format!("an adapter whose name contains `{name}`"),
    };
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let error = Error::new(ErrorKind::NoAdapter, "context", "adapter").expecting(wanted);
    if backends().is_empty() {
        error.but_found("a build without backends for this system").with_hint(NO_BACKEND_ADVICE)
    } else if names.is_empty() {
        error.but_found("no adapter at all").with_hint(NO_ADAPTER_ADVICE)
    } else {
        error.but_found(format!("only: {}", names.join("; ")))
    }
}

fn caps(limits: &wgpu::Limits, features: wgpu::Features, info: &wgpu::AdapterInfo) -> Caps {
    let adapter = kind_of(info.device_type);
    let fixed = info.subgroup_min_size == info.subgroup_max_size && features.contains(SUBGROUPS);
    let subgroup_size = fixed.then_some(info.subgroup_min_size);
    Caps {
        adapter,
        subgroup_size,
        f16: features.contains(wgpu::Features::SHADER_F16),
        wide_loads: adapter == AdapterKind::Cpu && features.contains(wgpu::Features::SHADER_INT64),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        storage_alignment: limits.min_storage_buffer_offset_alignment,
        uniform_alignment: limits.min_uniform_buffer_offset_alignment,
        max_loop_turns: Known::of(info).limit(),
        cooperative: Vec::new(),
        tuning: Tuning::for_adapter(adapter, subgroup_size),
    }
}

/// The shape, when its element types can be written in WGSL.
fn cooperative_shape(properties: &wgpu::CooperativeMatrixProperties) -> Option<CooperativeShape> {
    let dtype = |scalar| match scalar {
        wgpu::CooperativeScalarType::F16 => Some(DType::F16),
        wgpu::CooperativeScalarType::F32 => Some(DType::F32),
        _ => None,
    };
    Some(CooperativeShape {
        m: properties.m_size,
        n: properties.n_size,
        k: properties.k_size,
        operand: dtype(properties.ab_type)?,
        result: dtype(properties.cr_type)?,
    })
}
