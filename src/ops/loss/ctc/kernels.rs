//! Lowering: a workgroup an item for alpha and beta, and an invocation a state of a frame for the gradient.

use super::{Ctc, NAME};
use crate::graph::StepDesc;
use crate::kernel::{Caps, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::fill;
use crate::tensor::DType;
use crate::{Error, ErrorKind, Result};

/// Lanes that share an item's states.
const LANES: u32 = 64;

params! {
    struct CtcParams {
        frames: u32,
        symbols: u32,
        labels: u32,
        blank: u32,
    }
}

/// The states that alpha and beta go through, two rows of which lie in workgroup memory.
fn check_states(op: &'static str, labels: usize, caps: &Caps) -> Result<()> {
    let most = caps.max_workgroup_bytes as usize / (2 * size_of::<f32>());
    if 2 * labels < most {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Limit, op, "targets")
        .expecting(format!("at most {} labels, as workgroup memory holds", most.saturating_sub(1) / 2))
        .but_found(labels))
}

/// What all kernels read, and how the extents lie: states of an item, and the kernel.
fn kernel(
    op: &'static str,
    spec: &Ctc,
    step: &StepDesc,
    source: Source,
    caps: &Caps,
) -> Result<(u32, Kernel)> {
    let to_u32 = |what, count| to_u32(op, what, count);
    let dims = step.inputs[0].shape.dims();
    let labels = step.inputs[1].shape.dims()[1];
    check_states(op, labels, caps)?;
    let params = CtcParams {
        frames: to_u32("frames", dims[1])?,
        symbols: to_u32("symbols", dims[2])?,
        labels: to_u32("labels", labels)?,
        blank: spec.blank,
    };
    to_u32("elements", step.inputs[0].elements())?;
    let states = to_u32("states", 2 * labels + 1)?;
    to_u32("states of all frames", dims[0] * dims[1] * states as usize)?;
    let kernel = Kernel::new(op, [source, wgsl!("loss/ctc/states.wgsl")])
        .read("log_probabilities", Operand::Input(0), DType::F32)
        .read("targets", Operand::Input(1), DType::I32)
        .read("frames", Operand::Input(2), DType::I32)
        .read("labels", Operand::Input(3), DType::I32)
        .params(params)
        .constant("STATES", states);
    Ok((states, kernel))
}

/// Lanes of an item, and its loops' turns over so many frames.
fn lanes(frames: usize, states: u32, caps: &Caps) -> (u32, u64) {
    let lanes = LANES.min(caps.max_invocations);
    (lanes, frames as u64 * (u64::from(states.div_ceil(lanes)) + 2))
}

pub(super) fn forward(spec: &Ctc, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let dims = step.inputs[0].shape.dims();
    let (states, kernel) = kernel(NAME, spec, step, wgsl!("loss/ctc/forward.wgsl"), caps)?;
    let (lanes, turns) = lanes(dims[1], states, caps);
    let dispatch = kernel
        .write("losses", Operand::Output(0), DType::F32)
        .write("alpha", Operand::Output(1), DType::F32)
        .constant("ZERO_INFINITY", spec.zero_infinity)
        .turns(turns)
        .per_workgroup(to_u32(NAME, "batch", dims[0])?, lanes);
    let reason = "sequential over frames, parallel over states";
    Ok(Lowered::streaming(format!("{NAME}, {lanes} lanes an item"), reason, vec![dispatch], Vec::new()))
}

pub(super) fn backward(spec: &Ctc, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    const OP: &str = "loss/ctc_backward";
    let (dims, result) = (step.inputs[0].shape.dims(), &step.outputs[0]);
    let (states, beta) = kernel(OP, spec, step, wgsl!("loss/ctc/beta.wgsl"), caps)?;
    let (lanes, turns) = lanes(dims[1], states, caps);
    let beta = beta
        .write("beta", Operand::Scratch(0), DType::F32)
        .turns(turns)
        .per_workgroup(to_u32(OP, "batch", dims[0])?, lanes);
    let zeros = fill::zeros(OP, result, Operand::Output(0), caps)?;
    let (_, gradient) = kernel(OP, spec, step, wgsl!("loss/ctc/gradient.wgsl"), caps)?;
    let all = dims[0] * dims[1] * states as usize;
    let gradient = gradient
        .read("alpha", Operand::Input(5), DType::F32)
        .read("beta", Operand::Scratch(0), DType::F32)
        .read("upstream", Operand::Input(6), DType::F32)
        .write("result", Operand::Output(0), DType::F32)
        .turns(2 * u64::from(states))
        .per_element(to_u32(OP, "states", all)?, caps);
    let scratch = vec![((all * size_of::<f32>()) as u64).max(4)];
    let reason = "sequential over frames, parallel over states";
    let kernel = format!("{OP}, {lanes} lanes an item");
    Ok(Lowered::streaming(kernel, reason, vec![beta, zeros, gradient], scratch))
}
