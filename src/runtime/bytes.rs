//! What a run takes in memory, before anything is made.

use super::Device;
use crate::gpu::Context;
use crate::graph::Graph;
use crate::plan::{Memory, Plan, Watch};
use crate::{Result, cpu};

/// `graph` planned for its device, if that is one through wgpu.
pub(super) fn plan(graph: &Graph, device: &Device, watch: Option<Watch>) -> Result<Option<Plan>> {
    device.context().map(|context| plan_for(graph, context, watch)).transpose()
}

pub(super) fn plan_for(graph: &Graph, context: &Context, watch: Option<Watch>) -> Result<Plan> {
    match watch {
        None => Plan::new(graph, context.caps()),
        Some(watch) => Plan::watching(graph, context.caps(), watch),
    }
}

/// Bytes of a run beside parameters and states: what the plan takes, and outputs once more, which are read back; on the CPU references the
/// arrays that live at once.
pub(super) fn of_run(graph: &Graph, plan: Option<&Plan>, device: &Device) -> u64 {
    match (plan.map(Plan::memory), device) {
        (Some(memory), _) => of_memory(memory),
        (None, Device::CpuF64) => cpu::peak_bytes(graph, size_of::<f64>()),
        (None, _) => cpu::peak_bytes(graph, size_of::<f32>()),
    }
}

fn of_memory(memory: &Memory) -> u64 {
    memory.total() - memory.parameters - memory.states + memory.outputs
}
