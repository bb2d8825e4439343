//! Lowering: the tiles of matmul with another store, one dispatch for each part of the weight that a binding holds. A gated
//! layer whose weight does not fit one binding stores its factors first.

use super::{LinearOp, NAME};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Matrix, Operand, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::elementwise::{Activation, Gate};
use crate::ops::matmul::{Geometry, Part, Product, product};
use crate::ops::parts::{RowPart, row_parts};
use crate::tensor::DType;

params! {
    struct GateParams {
        /// Packs of a row of the result.
        width: u32,
    }
}

pub(super) fn lower(op: &LinearOp, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let weight = &step.inputs[1];
    // Parts that start at a multiple of four columns keep results in vectors.
    let parts = row_parts(NAME, ("weight", 1), weight, 4, caps)?;
    let keeps = op.activates() && step.wanted[1];
    // Where not the result but the factors of a gate are what the product stores.
    let stored_gate = op.gate.filter(|_| parts.len() > 1);
    let floats = |elements: usize| (elements * size_of::<f32>()) as u64;
    let sums = floats(step.outputs[0].elements() * if op.gate.is_some() { 2 } else { 1 });
    let factors = LinearOp { activation: Activation::Identity, gate: None, residual: false, ..*op };
    let mut scratch = Vec::new();
    let (own, result, dtype) = match stored_gate {
        None => (op, Operand::Output(0), weight.dtype),
        Some(_) if keeps => (&factors, Operand::Output(1), weight.dtype),
        Some(_) => {
            scratch.push(sums);
            (&factors, Operand::Scratch(0), DType::F32)
        }
    };
    let layer = Layer {
        op: own,
        step,
        result,
        dtype,
        residual: own.residual_index(),
        keeps: keeps && stored_gate.is_none(),
        so_far: Operand::Scratch(scratch.len()),
    };
    let Product { mut dispatches, choice, in_parts } = layer.product(&parts, caps)?;
    if in_parts {
        scratch.push(sums);
    }
    if let Some(gate) = stored_gate {
        dispatches.push(gating(op, gate, step, (result, dtype), caps)?);
    }
    Ok(Lowered::Kernels { choice, dispatches, scratch })
}

/// A layer without parts, and where its result goes.
struct Layer<'p> {
    op: &'p LinearOp,
    step: &'p StepDesc,
    result: Operand,
    dtype: DType,
    residual: Option<usize>,
    /// Whether the sums before the activation are stored, too.
    keeps: bool,
    /// Where sums over parts of the inner axis go.
    so_far: Operand,
}

impl Layer<'_> {
    /// The dispatches of all parts of the weight, and the choice they share.
    fn product(&self, parts: &[RowPart], caps: &Caps) -> Result<Product> {
        let mut products = parts.iter().map(|part| self.part(part, caps)).collect::<Result<Vec<_>>>()?;
        let dispatches = products.iter_mut().flat_map(|product| product.dispatches.drain(..)).collect();
        // There is at least one part, and parts differ in the number of columns alone.
        let Product { mut choice, in_parts, .. } = products.swap_remove(0);
        if parts.len() > 1 {
            choice.kernel = format!("{}, weight in {} parts", choice.kernel, parts.len()).into();
        }
        Ok(Product { dispatches, choice, in_parts })
    }

    fn part(&self, part: &RowPart, caps: &Caps) -> Result<Product> {
        let Self { op, step, .. } = *self;
        let (x, weight) = (&step.inputs[0], &step.inputs[1]);
        let [out, inner] = [weight.shape.dims()[0], weight.shape.dims()[1]];
        let rows = x.shape.dims()[..x.shape.rank() - 1].iter().product();
        let (columns, line, second) = match op.gate {
            None => (part.rows, out, None),
            Some(_) => (out / 2, out / 2, Some(out / 2 * inner)),
        };
        let geometry = Geometry::dense([rows, columns, inner], part.first_row, line);
        let placed = Part { a: None, b: part.operand, result: self.dtype, second, so_far: self.so_far };
        product(NAME, &geometry, x.dtype, placed, caps, |kernel, c| self.finished(kernel, x.dtype, c))
    }

    /// `kernel` with its epilogue: bias, activation or gate, and residual, stored in the layout of `c`.
    fn finished(&self, kernel: Kernel, dtype: DType, c: Matrix) -> Kernel {
        let op = self.op;
        let one_row = Matrix { dtype, line: None, rows: None, ..c };
        // A row of sums has both factors of a gated layer.
        let sums_line = if op.gate.is_some() { "2u * params.c_line" } else { "params.c_line" };
        let kernel = kernel
            .label(NAME)
            .lanes(4)
            .write_rows("c", self.result, c)
            .read_rows_if("bias", op.bias_index().map(Operand::Input), one_row)
            .read_rows_if("residual", self.residual.map(Operand::Input), c)
            .write_rows_if(
                "sums",
                self.keeps.then_some(Operand::Output(1)),
                Matrix { line: Some(sums_line), ..c },
            );
        match op.gate {
            None => activating(kernel, op.activation).source(wgsl!("linear/plain.wgsl")),
            Some(gate) => gated(kernel, op.activation, gate).source(wgsl!("linear/gated.wgsl")),
        }
    }
}

/// The gate of factors that are stored.
fn gating(
    op: &LinearOp,
    gate: Gate,
    step: &StepDesc,
    (factors, dtype): (Operand, DType),
    caps: &Caps,
) -> Result<Dispatch> {
    let result = &step.outputs[0];
    let width = to_u32(NAME, "out", step.inputs[1].shape.dims()[0] / 2)?;
    let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", result.elements())? / lanes;
    let kernel = Kernel::new("linear, gate", [wgsl!("linear/gate_stored.wgsl")])
        .lanes(lanes)
        .read("factors", factors, dtype)
        .read_if("residual", op.residual_index().map(Operand::Input), result.dtype)
        .write("c", Operand::Output(0), result.dtype)
        .params(GateParams { width: width / lanes });
    Ok(gated(kernel, op.activation, gate).per_element(count, caps))
}

/// `kernel` with the function `gate`.
fn gated(kernel: Kernel, activation: Activation, gate: Gate) -> Kernel {
    activating(kernel, activation)
        .source(wgsl!("linear/gate.wgsl"))
        .constant("ACTIVATES_FIRST", gate == Gate::First)
}

/// `kernel` with the function `activate`.
fn activating(kernel: Kernel, activation: Activation) -> Kernel {
    kernel.source(wgsl!("elementwise/math.wgsl")).generated(activation.activate())
}
