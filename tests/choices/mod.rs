//! The choices of kernels there are, for tests that want every shader.

use foveate::DType;
use foveate::kernel::{AdapterKind, Caps, CooperativeShape, MatmulKernel, Tuning};

/// Capabilities under which the table, cooperative matrices, and the yardstick that no device is given, choose every kernel.
pub(crate) fn every_choice_of_kernels() -> Vec<Caps> {
    let roomy =
        Caps { f16: true, subgroup_size: Some(8), max_binding_bytes: 1 << 30, ..Caps::webgpu_default() };
    let mut choices: Vec<Caps> =
        [(AdapterKind::Cpu, Some(8)), (AdapterKind::Cpu, None), (AdapterKind::Discrete, None)]
            .into_iter()
            .map(|(adapter, subgroup_size)| Caps {
                adapter,
                subgroup_size,
                tuning: Tuning::for_adapter(adapter, subgroup_size),
                ..roomy.clone()
            })
            .collect();
    // However small the cases are, tiles stay as large as for those that keep a GPU busy.
    let large = |caps: &mut Caps| caps.tuning.attention.busy_workgroups = 1;
    choices.iter_mut().filter(|caps| caps.adapter == AdapterKind::Discrete).for_each(large);
    let mut classic = roomy.clone();
    classic.tuning.matmul = MatmulKernel::Classic;
    choices.push(classic);
    // What adapters list: NVIDIA's, and Apple's.
    for (side, operand) in [(16, DType::F16), (8, DType::F32)] {
        let shape = CooperativeShape { m: side, n: side, k: side, operand, result: DType::F32 };
        let mut caps = Caps { cooperative: vec![shape], subgroup_size: Some(32), ..roomy.clone() };
        large(&mut caps);
        choices.push(caps);
    }
    choices
}
