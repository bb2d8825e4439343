//! Lowering: an invocation for a few places of a pack of channels, and for the gradient of the weights one for a tap's pack of a chunk of places.

use super::weights::WeightGradient;
use super::{Channels, Depthwise, NAME};
use crate::Result;
use crate::graph::{Op, StepDesc};
use crate::kernel::{AdapterKind, Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::conv::reach::Sliding;
use crate::ops::rows::chunk_length;
use crate::tensor::DType;

/// Places whose sums an invocation holds.
const PLACES: usize = 8;

/// Places, and taps that read a stretch of x together, of an invocation whose taps slide. A CPU's loads cost it far more than the registers it lacks:
/// 31 taps took 1.7 times as long there with 8 of each.
fn sliding_extents(caps: &Caps) -> [usize; 2] {
    if caps.adapter == AdapterKind::Cpu { [32, 16] } else { [8, 8] }
}

params! {
    /// In packs.
    struct ForwardParams {
        /// A place of the result.
        width: u32,
        /// A place of x.
        read_width: u32,
        /// A tap's weights.
        weight_width: u32,
        /// Places of an item of the result, and of x.
        places: u32,
        read_places: u32,
        /// Groups of places of an item.
        blocks: u32,
        taps: u32,
    }
}

params! {
    struct WeightParams {
        width: u32,
        read_width: u32,
        weight_width: u32,
        places: u32,
        read_places: u32,
        /// Places of all items.
        all: u32,
        taps: u32,
        chunk: u32,
    }
}

params! {
    struct AddParams {
        width: u32,
        chunks: u32,
    }
}

/// Elements of a pack: 4 where each channel reads its own and there are whole vectors of them.
fn lanes(channels: Channels, width: usize) -> u32 {
    if channels.multiplier == 1 && width.is_multiple_of(4) { 4 } else { 1 }
}

/// `kernel` with what it says of channels and segments. Packs are single elements.
fn tell(kernel: Kernel, channels: Channels, segments: Option<usize>) -> Kernel {
    kernel
        .lanes(1)
        .read_if("segments", segments.map(Operand::Input), DType::I32)
        .constant("IN_SEGMENTS", segments.is_some())
        .constant("MULTIPLIER", channels.multiplier as u32)
        .constant("GATHERS", channels.gathers)
}

pub(super) fn forward(op: &Depthwise, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, y) = (&step.inputs[0], &step.outputs[0]);
    let to_u32 = |what, count| to_u32(NAME, what, count);
    let wide = step.inputs[1].shape.dims()[1];
    let [inner, out] = op.channels.of(wide);
    let lanes = lanes(op.channels, wide);
    let packs = |what, channels: usize| to_u32(what, channels / lanes as usize);
    let (batch, taps) = (x.shape.dims()[0], op.plane.taps());
    let sliding = op.plane.sliding().filter(|_| !op.channels.gathers);
    let [held, stretch] = if sliding.is_some() { sliding_extents(caps) } else { [PLACES, 1] };
    let blocks = op.plane.to().div_ceil(held);
    to_u32("elements of x", x.elements())?;
    to_u32("elements of the result", y.elements())?;
    let params = ForwardParams {
        width: packs("channels", out)?,
        read_width: packs("channels", inner)?,
        weight_width: packs("channels", wide)?,
        places: to_u32("places", op.plane.to())?,
        read_places: to_u32("places", op.plane.from())?,
        blocks: to_u32("places", blocks)?,
        taps: to_u32("taps", taps)?,
    };
    let count = to_u32("invocations", batch * blocks * out / lanes as usize)?;
    let reads = if op.channels.gathers { op.channels.multiplier } else { 1 };
    let stretch = stretch.min(taps);
    let source = match sliding {
        Some(_) => wgsl!("conv/depthwise/sliding.wgsl.j2"),
        None => wgsl!("conv/depthwise/forward.wgsl.j2"),
    };
    let kernel = Kernel::new(NAME, [source]).params(params);
    let kernel = match sliding {
        Some(Sliding { offset, is_turned }) => kernel
            .param("offset", offset as u32)
            .constant("IS_TURNED", is_turned)
            .constant("TAPS", stretch as u32)
            .constant("LEFT_TAPS", (taps % stretch) as u32),
        None => op.plane.tell(kernel),
    };
    let kernel = tell(kernel, op.channels, op.optional.segments_index())
        .lanes(lanes)
        .read("x", Operand::Input(0), x.dtype)
        .read("weight", Operand::Input(1), x.dtype)
        .read_if("bias", op.optional.bias_index().map(Operand::Input), x.dtype)
        .write("result", Operand::Output(0), x.dtype)
        .constant("PLACES", held as u32)
        .turns((taps * (reads + 2)) as u64);
    Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
}

pub(super) fn weights(op: &WeightGradient, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, dy, dw) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
    let name = op.name();
    let to_u32 = |what, count| to_u32(name, what, count);
    let [taps, wide] = [0, 1].map(|axis| dw.shape.dims()[axis]);
    let [inner, out] = op.channels.of(wide);
    let lanes = lanes(op.channels, wide);
    let packs = |what, channels: usize| to_u32(what, channels / lanes as usize);
    let all = to_u32("places", x.shape.dims()[0] * op.plane.to())?;
    to_u32("elements of x", x.elements())?;
    to_u32("elements of the upstream gradient", dy.elements())?;
    let chunk = chunk_length(all);
    let chunks = all.div_ceil(chunk).max(1);
    let params = WeightParams {
        width: packs("channels", out)?,
        read_width: packs("channels", inner)?,
        weight_width: packs("channels", wide)?,
        places: to_u32("places", op.plane.to())?,
        read_places: to_u32("places", op.plane.from())?,
        all,
        taps: to_u32("taps", taps)?,
        chunk,
    };
    let of_chunk = packs("weights", taps * wide)?;
    let count = to_u32("invocations", chunks as usize * of_chunk as usize)?;
    let kernel = Kernel::new(name, [wgsl!("conv/depthwise/weights.wgsl")]).params(params);
    let kernel = tell(kernel, op.channels, op.segments.then_some(2))
        .lanes(lanes)
        .read("x", Operand::Input(0), x.dtype)
        .read("upstream", Operand::Input(1), dy.dtype)
        .write("partials", Operand::Scratch(0), DType::F32)
        .turns(chunk.into());
    let sums = op.plane.tell(kernel).per_element(count, caps);
    let total = Kernel::new(name, [wgsl!("normalize/norm/add_chunks.wgsl")])
        .lanes(lanes)
        .read("partials", Operand::Scratch(0), DType::F32)
        .write("result", Operand::Output(0), dw.dtype)
        .params(AddParams { width: of_chunk, chunks })
        .turns(chunks.into())
        .per_element(of_chunk, caps);
    let scratch = vec![u64::from(count) * u64::from(lanes) * size_of::<f32>() as u64];
    let kernel = format!("{name} x{lanes}, {chunks} chunks of places");
    Ok(Lowered::streaming(kernel, "sums of chunks are added up", vec![sums, total], scratch))
}
