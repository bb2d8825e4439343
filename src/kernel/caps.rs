//! What a device can do, as plain data: everything a kernel is chosen by.

use super::Tuning;
use crate::tensor::DType;

/// The kind of adapter, which decides between kernel shapes: what helps a GPU costs on a software rasterizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
            cooperative: Vec::new(),
            tuning: Tuning::for_adapter(AdapterKind::Other, None),
        }
    }

    /// The first capability of `needed` that `self` lacks: name, needed and offered. A plan made for `needed` runs on a
    /// device with `self` when there is none.
    pub fn shortfall(&self, needed: &Self) -> Option<(&'static str, u64, u64)> {
        [
            ("f16 storage", u64::from(needed.f16), u64::from(self.f16)),
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
    }
}
