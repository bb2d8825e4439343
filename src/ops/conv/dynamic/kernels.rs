//! Lowering: an invocation for each pack of channels of a place, and for the gradient of kernels one for each of their elements.

use super::{Dynamic, Form};
use crate::Result;
use crate::graph::{Op, StepDesc};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct DynamicParams {
        time: u32,
        /// Packs of a place.
        width: u32,
        /// Packs of a head.
        size: u32,
        heads: u32,
        taps: u32,
    }
}

pub(super) fn lower(op: &Dynamic, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (first, second, result) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
    let to_u32 = |what, count| to_u32(op.name(), what, count);
    let of_kernels = matches!(op.form, Form::Kernels(_));
    let heads = if of_kernels { result.shape.dims()[2] } else { second.shape.dims()[2] };
    let channels = first.shape.dims()[2];
    let lanes = if (channels / heads).is_multiple_of(4) { 4 } else { 1 };
    let packs = |count: usize| to_u32("channels", count / lanes as usize);
    let params = DynamicParams {
        time: to_u32("time", op.plane.to())?,
        width: packs(channels)?,
        size: packs(channels / heads)?,
        heads: to_u32("heads", heads)?,
        taps: to_u32("taps", op.plane.taps())?,
    };
    to_u32("elements of x", first.elements())?;
    let source = match of_kernels {
        true => wgsl!("conv/dynamic/kernels.wgsl"),
        false => wgsl!("conv/dynamic/forward.wgsl"),
    };
    let kernel = Kernel::new(op.name(), [source])
        .params(params)
        .read_if("segments", op.segments.then_some(Operand::Input(2)), DType::I32)
        .constant("IN_SEGMENTS", op.segments)
        .lanes(lanes)
        .read("x", Operand::Input(0), first.dtype);
    let (kernel, count, turns) = if of_kernels {
        let kernel = kernel.read("upstream", Operand::Input(1), second.dtype).write_elements(
            "result",
            Operand::Output(0),
            result.dtype,
        );
        (kernel, to_u32("elements", result.elements())?, params.size)
    } else {
        let kernel = kernel
            .read_elements("kernels", Operand::Input(1), second.dtype)
            .write("result", Operand::Output(0), result.dtype)
            .constant("AT_READ", op.form == Form::Input);
        (kernel, to_u32("elements", result.elements())? / lanes, params.taps)
    };
    let dispatch = op.plane.tell(kernel.turns(turns.into())).per_element(count, caps);
    Ok(Lowered::elementwise(dispatch, lanes))
}
