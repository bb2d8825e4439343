//! Lowering: the tiles of matmul, whose `a` is read from the convolution's input.

use super::weights::WeightGradient;
use super::{Dense, NAME};
use crate::Result;
use crate::graph::{Op, StepDesc};
use crate::kernel::{Caps, Kernel, Lowered, Matrix, Operand, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::conv::reach::Plane;
use crate::ops::matmul::{Gathered, Geometry, Part, Placement, Product, product};
use crate::tensor::DType;

/// What the taps read, as the `a` of a product.
#[derive(Debug)]
struct Unfolded {
    plane: Plane,
    dtype: DType,
    /// Channels of a group.
    inner: u32,
    /// Channels of all groups.
    channels: u32,
    /// Elements of an item.
    item: u32,
    segments: Option<Operand>,
    /// Whether its columns, and not its rows, are what the taps of a place read.
    transposed: bool,
}

impl Unfolded {
    fn new(
        op: &'static str,
        plane: Plane,
        step: &StepDesc,
        groups: usize,
        segments: Option<usize>,
        transposed: bool,
    ) -> Result<Self> {
        let x = &step.inputs[0];
        let channels = x.shape.dims()[3];
        to_u32(op, "elements of x", x.elements())?;
        Ok(Self {
            plane,
            dtype: x.dtype,
            inner: to_u32(op, "channels", channels / groups)?,
            channels: to_u32(op, "channels", channels)?,
            item: to_u32(op, "elements of an item", plane.from() * channels)?,
            segments: segments.map(Operand::Input),
            transposed,
        })
    }
}

impl Gathered for Unfolded {
    fn read(&self, kernel: Kernel, first: u32, in_operand_type: bool) -> Kernel {
        let vectors = self.inner.is_multiple_of(4);
        let kernel = kernel
            .read_places("x", Operand::Input(0), self.dtype, [vectors, in_operand_type])
            .read_if("segments", self.segments, DType::I32)
            .source(wgsl!("conv/dense/unfolded.wgsl.j2"))
            .constant("IN_SEGMENTS", self.segments.is_some())
            .constant("CHANNELS", self.inner)
            .constant("UNFOLDED_LINE", self.inner * self.plane.taps() as u32)
            .constant("VECTORS", vectors)
            .constant("AS_STORED", in_operand_type)
            .constant("TRANSPOSED", self.transposed)
            .param("channels", self.channels)
            .param("item", self.item)
            .param("places", self.plane.to() as u32)
            .param("inner_first", first);
        self.plane.tell(kernel)
    }
}

/// Of each item and group, places by channels of the result.
pub(super) fn forward(op: &Dense, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, weight) = (&step.inputs[0], &step.inputs[1]);
    let [groups, taps, inner, out] = [0, 1, 2, 3].map(|axis| weight.shape.dims()[axis]);
    let (batch, places, width) = (x.shape.dims()[0], op.plane.to(), groups * out);
    let unfolded = Unfolded::new(NAME, op.plane, step, groups, op.optional.segments_index(), false)?;
    let line = taps * inner;
    let placed = |batch, head, line| Placement { first: 0, batch, head, line, transposed: false };
    let a = placed(op.plane.from() * groups * inner, inner, line);
    let b = placed(0, line * out, out);
    let c = placed(places * width, out, width);
    let geometry = Geometry::placed([batch, groups], [places, out, line], [a, b, c]);
    let bias = op.optional.bias_index().map(Operand::Input);
    lowered(NAME, &geometry, x.dtype, &unfolded, Operand::Input(1), caps, |kernel, c| {
        let one_row = Matrix { line: None, rows: None, ..c };
        kernel
            .lanes(4)
            .source(wgsl!("elementwise/math.wgsl"))
            .generated(op.activation.activate())
            .source(wgsl!("conv/dense/finish.wgsl"))
            .write_rows("c", Operand::Output(0), c)
            .read_rows_if("bias", bias, one_row)
            .write_rows_if("sums", (op.activates() && step.wanted[1]).then_some(Operand::Output(1)), c)
    })
}

/// Of each group, what a tap reads of a channel by channels of the result, over all places of all items.
pub(super) fn weights(op: &WeightGradient, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (x, dy) = (&step.inputs[0], &step.inputs[1]);
    let [groups, taps, inner, out] = [0, 1, 2, 3].map(|axis| step.outputs[0].shape.dims()[axis]);
    let segments = op.segments.then_some(2);
    let unfolded = Unfolded::new(op.name(), op.plane, step, groups, segments, true)?;
    let placed = |head, line, transposed| Placement { first: 0, batch: 0, head, line, transposed };
    let line = taps * inner;
    let a = placed(inner, line, true);
    let b = placed(out, groups * out, false);
    let c = placed(line * out, out, false);
    let places = x.shape.dims()[0] * op.plane.to();
    let geometry = Geometry::placed([1, groups], [line, out, places], [a, b, c]);
    lowered(op.name(), &geometry, dy.dtype, &unfolded, Operand::Input(1), caps, |kernel, c| {
        kernel.source(wgsl!("matmul/finish.wgsl")).write_rows("c", Operand::Output(0), c)
    })
}

fn lowered(
    op: &'static str,
    geometry: &Geometry,
    dtype: DType,
    unfolded: &Unfolded,
    b: Operand,
    caps: &Caps,
    finish: impl Fn(Kernel, Matrix) -> Kernel,
) -> Result<Lowered> {
    let part = Part { a: Some(unfolded), b, result: dtype, second: None, so_far: Operand::Scratch(0) };
    let Product { dispatches, mut choice, in_parts } = product(op, geometry, dtype, part, caps, finish)?;
    choice.kernel = format!("{}, implicit im2col", choice.kernel).into();
    let scratch = if in_parts { vec![geometry.bytes_of_sums()] } else { Vec::new() };
    Ok(Lowered::Kernels { choice, dispatches, scratch })
}
