//! What graphs run on.

use crate::gpu::Context;
use crate::tensor::DType;

/// What graphs run on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// A device through wgpu.
    Gpu(Context),
    /// The CPU references in f32, their fast mode.
    Cpu,
    /// The CPU references in f64, which kernels are tested against. Outputs are rounded once, to their own type, and what parameters and states are
    /// updated to is not rounded.
    CpuF64,
}

impl Device {
    /// The device through wgpu, for what only makes sense on one; none on the CPU references.
    pub fn context(&self) -> Option<&Context> {
        match self {
            Self::Gpu(context) => Some(context),
            Self::Cpu | Self::CpuF64 => None,
        }
    }

    /// The most bytes that one tensor may take.
    pub fn max_tensor_bytes(&self) -> u64 {
        self.context().map_or(u64::MAX, |context| {
            let caps = context.caps();
            caps.max_binding_bytes.min(caps.max_buffer_bytes)
        })
    }

    /// Whether a graph needs a plan and compiled kernels for its size, so that it pays to round sizes up to a few. The CPU references need neither,
    /// and compute padding at full cost.
    pub fn is_planned(&self) -> bool {
        self.context().is_some()
    }

    /// Whether tensors of `dtype` can be stored: f16 is optional on devices through wgpu.
    pub fn stores(&self, dtype: DType) -> bool {
        dtype != DType::F16 || self.context().is_none_or(|context| context.caps().f16)
    }

    /// The float type that ops compute in, whatever tensors are stored as: `f32` or `f64`.
    pub fn arithmetic(&self) -> &'static str {
        match self {
            Self::Gpu(_) | Self::Cpu => "f32",
            Self::CpuF64 => "f64",
        }
    }

    /// The device in one line.
    pub fn describe(&self) -> String {
        match self.context() {
            Some(context) => context.describe(),
            None => format!("CPU reference ({})", self.arithmetic()),
        }
    }
}
