//! The capabilities of a device as plain data: all that the choice of kernels depends on.

use super::{MatmulKernel, Shader, Tuning};
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// The kind of adapter, which decides between kernel shapes: what helps a GPU costs on a software rasterizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A graphics card of its own.
    Discrete,
    /// A GPU that shares memory with the processor.
    Integrated,
    /// A GPU passed through a virtual machine.
    Virtual,
    /// A software rasterizer: lavapipe, SwiftShader, WARP.
    Cpu,
    /// Not told, as by browsers.
    Other,
}

impl AdapterKind {
    /// The kind in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Cpu => "software rasterizer",
            Self::Other => "GPU of unknown kind",
        }
    }
}

/// Turns that dispatches do not count: of loops over the lanes of a workgroup, and of each loop the turn that finds its end.
const UNCOUNTED_TURNS: u64 = 1024;

/// One cooperative-matrix shape of an adapter: `result[m, n] += a[m, k] * b[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CooperativeShape {
    /// Rows of the result.
    pub m: u32,
    /// Columns of the result.
    pub n: u32,
    /// The summed axis.
    pub k: u32,
    /// Type of the two factors.
    pub operand: DType,
    /// Type of the accumulator.
    pub result: DType,
}

/// Limits and features of a device, and the tuning table in force.
///
/// Sizes are bytes. [`Caps::webgpu_default`] is what every WebGPU device grants; a context reads its own from the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// What kind of adapter runs it.
    pub adapter: AdapterKind,
    /// Whether shaders may store and compute f16.
    pub f16: bool,
    /// Whether shaders load vectors of floats as words of 64 bits: on software rasterizers, which load a vector component by component, on
    /// devices with 64-bit integers (wgpu's `SHADER_INT64`).
    pub wide_loads: bool,
    /// Invocations of a subgroup, where shaders may use subgroup operations and barriers and the size does not vary.
    pub subgroup_size: Option<u32>,
    /// Whether GPU timestamps can be taken around compute passes.
    pub timestamps: bool,
    /// Storage buffers one shader may use.
    pub max_storage_buffers: u32,
    /// Workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub max_invocations: u32,
    /// Workgroups along one axis of a dispatch.
    pub max_workgroups: u32,
    /// One storage binding.
    pub max_binding_bytes: u64,
    /// One buffer.
    pub max_buffer_bytes: u64,
    /// Alignment of a storage binding's offset.
    pub storage_alignment: u32,
    /// Alignment of a uniform binding's offset.
    pub uniform_alignment: u32,
    /// The most iterations that all loops of one invocation may take together, on drivers that end loops after so many without a message: 65,535 on
    /// Mesa's llvmpipe up to version 25.0 at least, and no longer in 26.2. None where no such limit is known, as of every GPU. A plan refuses a
    /// dispatch that needs more (`Dispatch::turns`).
    ///
    /// Limits of *time* are no part of this, as they depend on what else a device does. Windows resets a GPU that has not answered for 2
    /// seconds (`TdrDelay`; the device is lost). macOS ends command buffers that keep a screen waiting
    /// (`kIOGPUCommandBufferCallbackErrorImpactingInteractivity`), from a few hundred milliseconds on; wgpu 30 may then wait forever or go
    /// on as if all were done (gfx-rs/wgpu#9531, #9545). Browsers run under both, and may impose less (gpuweb/gpuweb#6252). What helps is
    /// less in one submission: smaller batches, or a graph cut into several programs with a submit between them. No dispatch is cut into
    /// parts here.
    pub max_loop_turns: Option<u64>,
    /// Cooperative-matrix shapes.
    pub cooperative: Vec<CooperativeShape>,
    /// Which kernel shapes are used.
    pub tuning: Tuning,
}

impl Caps {
    /// WebGPU's default limits and no optional feature: what the least capable conforming device offers.
    pub fn webgpu_default() -> Self {
        Self {
            adapter: AdapterKind::Other,
            f16: false,
            wide_loads: false,
            subgroup_size: None,
            timestamps: false,
            max_storage_buffers: 8,
            max_workgroup_bytes: 16_384,
            max_invocations: 256,
            max_workgroups: 65_535,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            storage_alignment: 256,
            uniform_alignment: 256,
            max_loop_turns: None,
            cooperative: Vec::new(),
            tuning: Tuning::for_adapter(AdapterKind::Other, None),
        }
    }

    /// The side of the largest square fragments that take factors of `operand` and accumulate in f32.
    pub fn fragment(&self, operand: DType) -> Option<u32> {
        self.fragments(operand).max()
    }

    fn fragments(&self, operand: DType) -> impl Iterator<Item = u32> {
        self.cooperative.iter().filter_map(move |shape| {
            let square = shape.m == shape.n && shape.n == shape.k && [8, 16].contains(&shape.m);
            (square && shape.operand == operand && shape.result == DType::F32).then_some(shape.m)
        })
    }

    /// Whether kernels have the shapes of the tuning table, for this kind of adapter or another: those are what the conformance cases run.
    pub(crate) fn is_tuned_by_table(&self) -> bool {
        [AdapterKind::Cpu, AdapterKind::Discrete].into_iter().any(|kind| {
            [self.subgroup_size, None].into_iter().any(|size| self.tuning == Tuning::for_adapter(kind, size))
        })
    }

    /// Whether kernels with a workgroup for each row have one subgroup for it. Only software rasterizers are known to fill subgroups from
    /// the first lane to the last.
    pub(crate) fn rows_are_subgroups(&self) -> bool {
        self.adapter == AdapterKind::Cpu && self.subgroup_size == Some(self.tuning.row_lanes)
    }

    /// The first limit of `needed` that `self` does not reach: name, needed and offered.
    pub fn shortfall(&self, needed: &Self) -> Option<(&'static str, u64, u64)> {
        [
            (
                "storage buffers per shader",
                needed.max_storage_buffers.into(),
                self.max_storage_buffers.into(),
            ),
            ("bytes of workgroup memory", needed.max_workgroup_bytes.into(), self.max_workgroup_bytes.into()),
            ("invocations per workgroup", needed.max_invocations.into(), self.max_invocations.into()),
            ("workgroups per axis", needed.max_workgroups.into(), self.max_workgroups.into()),
            ("bytes per storage binding", needed.max_binding_bytes, self.max_binding_bytes),
            ("bytes per buffer", needed.max_buffer_bytes, self.max_buffer_bytes),
        ]
        .into_iter()
        .find(|(_, needed, offered)| needed > offered)
        // A finer alignment than the device's cannot be bound there.
        .or_else(|| {
            [
                ("bytes between uniform offsets", needed.uniform_alignment, self.uniform_alignment),
                ("bytes between storage offsets", needed.storage_alignment, self.storage_alignment),
            ]
            .into_iter()
            .find(|(_, planned, least)| planned < least)
            .map(|(what, planned, least)| (what, planned.into(), least.into()))
        })
    }

    /// Refuses a dispatch of `op` whose loops the driver would end before they are done.
    pub(crate) fn check_turns(&self, op: &'static str, turns: u64) -> Result<()> {
        let most = self.max_loop_turns.map(|limit| limit.saturating_sub(UNCOUNTED_TURNS));
        match most {
            Some(most) if turns > most => Err(Error::new(ErrorKind::Limit, op, "loop turns of an invocation")
                .expecting(format!("at most {most}"))
                .but_found(turns)
                .with_hint("this driver ends longer loops without a message; Mesa's software rasterizer no longer does in version 26.2")),
            _ => Ok(()),
        }
    }

    /// Refuses a shader that needs a feature the device lacks. `op` is who asks.
    pub(crate) fn check_features(&self, op: &'static str, shader: &Shader) -> Result<()> {
        let refused = || Error::new(ErrorKind::Unsupported, op, shader.label);
        if shader.uses_f16() && !self.f16 {
            return Err(refused()
                .expecting("a device with f16 (wgpu's SHADER_F16)")
                .but_found(format!("a {} without it", self.adapter.name())));
        }
        if shader.wide_loads && !self.wide_loads {
            return Err(refused()
                .expecting("a software rasterizer with 64-bit integers (wgpu's SHADER_INT64)")
                .but_found(format!("a {} without them", self.adapter.name())));
        }
        if let Some((side, operand)) = shader.cooperative
            && !self.fragments(operand).any(|listed| listed == side)
        {
            return Err(refused()
                .expecting(format!(
                    "a device with cooperative matrices of {side} x {side} in {operand} (wgpu's EXPERIMENTAL_COOPERATIVE_MATRIX)"
                ))
                .but_found(format!("a {} without them", self.adapter.name())));
        }
        match shader.subgroup_size {
            Some(size) if self.subgroup_size != Some(size) => Err(refused()
                .expecting(format!(
                    "a device with subgroups of {size} (wgpu's SUBGROUP and SUBGROUP_BARRIER)"
                ))
                .but_found(
                    self.subgroup_size
                        .map_or("none of fixed size".into(), |size| format!("subgroups of {size}")),
                )),
            _ => Ok(()),
        }
    }

    /// Refuses tiles that the device was made without the features or limits for, where that is known of all kernels alike. `op` is who
    /// asks.
    pub(crate) fn check_tuning(&self, op: &'static str, tuning: &Tuning) -> Result<()> {
        let shared_reads = matches!(tuning.matmul, MatmulKernel::Direct { shared_reads: true, .. });
        for (what, needs_eight) in
            [("matmul.shared_reads", shared_reads), ("attention.one_subgroup", tuning.attention.one_subgroup)]
        {
            if needs_eight && self.subgroup_size != Some(8) {
                return Err(Error::new(ErrorKind::Unsupported, op, what)
                    .expecting("a device with subgroups of 8 (wgpu's SUBGROUP and SUBGROUP_BARRIER)")
                    .but_found(format!("a {} without them", self.adapter.name())));
            }
        }
        for (what, invocations) in [
            ("row_lanes", tuning.row_lanes),
            ("element_lanes", tuning.element_lanes),
            ("attention.lanes", tuning.attention.lanes * tuning.attention.row_groups),
        ] {
            if invocations > self.max_invocations {
                return Err(Error::new(ErrorKind::Limit, op, what)
                    .expecting(format!("at most {} invocations a workgroup", self.max_invocations))
                    .but_found(invocations));
            }
        }
        Ok(())
    }

    /// Refuses limits and tiles that no device and no kernel can have.
    pub(crate) fn check(&self) -> Result<()> {
        for (what, value) in [
            ("max_workgroups", self.max_workgroups),
            ("uniform_alignment", self.uniform_alignment),
            ("storage_alignment", self.storage_alignment),
        ] {
            if value == 0 {
                return Err(Error::new(ErrorKind::Argument, "caps", what)
                    .expecting("at least 1")
                    .but_found(value));
            }
        }
        self.tuning.check("caps")
    }
}
