//! Lowering: an invocation for a few places of a pack of channels, and for the gradient of the weights one for a tap's pack of a chunk of places.

use super::weights::WeightGradient;
use super::{Channels, Depthwise, NAME};
use crate::Result;
use crate::graph::{Op, StepDesc};
use crate::kernel::{AdapterKind, Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::conv::reach::{Plane, Sliding};
use crate::ops::rows::chunk_length;
use crate::tensor::DType;

/// Taps that read a stretch of x together.
const STRETCH: usize = 8;

/// The most taps whose sums are pending at once: kernels of more take long to compile.
const MOST_PENDING: usize = 64;

/// Places of x in a turn of the loop over them.
const STEPS: u32 = 4;

/// How the places of an invocation share what they load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// The weights.
    Weights,
    /// Weights, and stretches of x that are read for 8 taps at once.
    Stretches(Sliding),
    /// Everything: sums of all places that read one of x are pending. With 31 taps on a CPU 1.6 times as fast as stretches of 16 taps by 32 places.
    All(Sliding),
}

impl Sharing {
    fn of(op: &Depthwise, caps: &Caps) -> Self {
        match op.plane.sliding().filter(|_| !op.channels.gathers) {
            Some(sliding) if caps.adapter == AdapterKind::Cpu && op.plane.taps() <= MOST_PENDING => {
                Self::All(sliding)
            }
            Some(sliding) => Self::Stretches(sliding),
            None => Self::Weights,
        }
    }

    /// Places of the result of an invocation.
    fn places(self) -> usize {
        match self {
            Self::Weights | Self::Stretches(_) => 8,
            Self::All(_) => 128,
        }
    }

    /// The kernel without what it reads and writes.
    fn kernel(self, plane: &Plane, params: ForwardParams) -> Kernel {
        let taps = plane.taps();
        let kernel =
            |source| Kernel::new(NAME, [source]).params(params).constant("PLACES", self.places() as u32);
        let slide = |kernel: Kernel, Sliding { offset, is_turned }| {
            kernel.param("offset", offset as u32).constant("IS_TURNED", is_turned)
        };
        match self {
            Self::Weights => plane.tell(kernel(wgsl!("conv/depthwise/forward.wgsl.j2"))),
            Self::Stretches(sliding) => slide(kernel(wgsl!("conv/depthwise/sliding.wgsl.j2")), sliding)
                .constant("TAPS", STRETCH.min(taps) as u32)
                .constant("LEFT_TAPS", (taps % STRETCH.min(taps)) as u32),
            Self::All(sliding) => slide(kernel(wgsl!("conv/depthwise/pending.wgsl.j2")), sliding)
                .constant("TAPS", taps as u32)
                .constant("STEPS", STEPS),
        }
    }
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
    let sharing = Sharing::of(op, caps);
    let places = sharing.places();
    let blocks = op.plane.to().div_ceil(places);
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
    let kernel = tell(sharing.kernel(&op.plane, params), op.channels, op.optional.segments_index())
        .lanes(lanes)
        .read("x", Operand::Input(0), x.dtype)
        .read("weight", Operand::Input(1), x.dtype)
        .read_if("bias", op.optional.bias_index().map(Operand::Input), x.dtype)
        .write("result", Operand::Output(0), x.dtype)
        .turns((taps * (reads + 2) + places) as u64);
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
