//! Lowering: the tiles of matmul with another store, one dispatch for each part of the weight that a binding holds. A gated
//! layer whose weight does not fit one binding stores its factors first.

use super::{LinearOp, NAME};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, params, wgsl};
use crate::ops::contract::to_u32;
use crate::ops::elementwise::{Activation, Gate};
use crate::ops::matmul::{Geometry, Part, Product, product};
use crate::ops::parts::{RowPart, row_parts};
use crate::tensor::DType;

params! {
    /// `width` in elements.
    struct GateParams {
        width: u32,
        count: u32,
        workgroups: u32,
    }
}

pub(super) fn lower(op: &LinearOp, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let weight = &step.inputs[1];
    // Parts that start at a multiple of four columns keep results in vectors.
    let parts = row_parts(NAME, ("weight", 1), weight, 4, caps)?;
    let keeps = op.activates() && step.wanted[1];
    let Some(gate) = op.gate.filter(|_| parts.len() > 1) else {
        let layer = Layer {
            op,
            step,
            result: Operand::Output(0),
            dtype: weight.dtype,
            residual: op.residual_index(),
            keeps,
        };
        let (dispatches, choice) = layer.dispatches(&parts, caps)?;
        return Ok(Lowered::Kernels { choice, dispatches, scratch: Vec::new() });
    };
    let factors = LinearOp { activation: Activation::Identity, gate: None, residual: false, ..*op };
    let (result, dtype) =
        if keeps { (Operand::Output(1), weight.dtype) } else { (Operand::Scratch(0), DType::F32) };
    let layer = Layer { op: &factors, step, result, dtype, residual: None, keeps: false };
    let (mut dispatches, choice) = layer.dispatches(&parts, caps)?;
    dispatches.push(gating(op, gate, step, (result, dtype), caps)?);
    let floats = 2 * step.outputs[0].elements() * size_of::<f32>();
    let scratch = if keeps { Vec::new() } else { vec![floats as u64] };
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
}

impl Layer<'_> {
    /// One dispatch a part, and the choice they share.
    fn dispatches(&self, parts: &[RowPart], caps: &Caps) -> Result<(Vec<Dispatch>, Choice)> {
        let built = parts.iter().map(|part| self.dispatch(part, caps)).collect::<Result<Vec<_>>>()?;
        let (dispatches, mut choices): (Vec<_>, Vec<_>) = built.into_iter().unzip();
        // There is at least one part, and parts differ in the number of columns alone.
        let mut choice = choices.swap_remove(0);
        if parts.len() > 1 {
            choice.kernel = format!("{}, weight in {} parts", choice.kernel, parts.len()).into();
        }
        Ok((dispatches, choice))
    }

    fn dispatch(&self, part: &RowPart, caps: &Caps) -> Result<(Dispatch, Choice)> {
        let Self { op, step, .. } = *self;
        let (x, weight) = (&step.inputs[0], &step.inputs[1]);
        let [out, inner] = [weight.shape.dims()[0], weight.shape.dims()[1]];
        let rows = x.shape.dims()[..x.shape.rank() - 1].iter().product();
        let (columns, line, second) = match op.gate {
            None => (part.rows, out, None),
            Some(_) => (out / 2, out / 2, Some(out / 2 * inner)),
        };
        let geometry = Geometry::dense([rows, columns, inner], line);
        let placed = Part { result: self.dtype, first_column: part.first_row, second };
        let Product { mut shader, params, workgroups, choice, in_vectors } =
            product(NAME, &geometry, x.dtype, caps, placed)?;
        shader.label = NAME;
        shader.sources.extend(self.sources(in_vectors));
        let shader = shader.generated(op.activation.activate());
        let shader = shader.alias("Elem", x.dtype, 1).alias("Lanes", DType::F32, 4).alias(
            "CLanes",
            DType::F32,
            if in_vectors { 4 } else { 1 },
        );
        let mut bindings = vec![("a", Operand::Input(0)), ("b", part.operand), ("c", self.result)];
        bindings.extend(op.bias_index().map(|bias| ("bias", Operand::Input(bias))));
        bindings.extend(self.residual.map(|residual| ("residual", Operand::Input(residual))));
        bindings.extend(self.keeps.then_some(("sums", Operand::Output(1))));
        Ok((Dispatch { shader, bindings, params, workgroups, turns: 0 }, choice))
    }

    /// The files behind the product: what is added, what is applied, how it is stored.
    fn sources(&self, in_vectors: bool) -> Vec<Source> {
        let mut sources = vec![
            if in_vectors { wgsl!("linear/store_vec4.wgsl") } else { wgsl!("linear/store_scalar.wgsl") },
            if self.op.bias { wgsl!("linear/bias_buffer.wgsl") } else { wgsl!("linear/bias_none.wgsl") },
            residual_source(self.residual.is_some()),
            match (self.keeps, in_vectors) {
                (false, _) => wgsl!("linear/sums_none.wgsl"),
                (true, false) => wgsl!("linear/sums_scalar.wgsl"),
                (true, true) => wgsl!("linear/sums_vec4.wgsl"),
            },
        ];
        sources.push(wgsl!("elementwise/math.wgsl"));
        match self.op.gate {
            None => sources.push(wgsl!("linear/finish_plain.wgsl")),
            Some(gate) => sources.extend([wgsl!("linear/finish_gated.wgsl"), gate_source(gate)]),
        }
        sources
    }
}

/// The gate of factors that are stored, one element an invocation.
fn gating(
    op: &LinearOp,
    gate: Gate,
    step: &StepDesc,
    (factors, dtype): (Operand, DType),
    caps: &Caps,
) -> Result<Dispatch> {
    let result = &step.outputs[0];
    let count = to_u32(NAME, "elements", result.elements())?;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let width = to_u32(NAME, "out", step.inputs[1].shape.dims()[0] / 2)?;
    let mut sources = vec![wgsl!("linear/gate.wgsl"), gate_source(gate), residual_source(op.residual)];
    sources.push(wgsl!("elementwise/math.wgsl"));
    let shader = Shader::new("linear, gate", sources)
        .generated(op.activation.activate())
        .alias("Factor", dtype, 1)
        .alias("CPack", result.dtype, 1)
        .alias("CLanes", DType::F32, 1)
        .alias("Lanes", DType::F32, 1)
        .constant("WORKGROUP", caps.tuning.element_lanes);
    let mut bindings = vec![("factors", factors), ("c", Operand::Output(0))];
    bindings.extend(op.residual_index().map(|residual| ("residual", Operand::Input(residual))));
    Ok(Dispatch {
        shader,
        bindings,
        params: GateParams { width, count, workgroups }.into(),
        workgroups: workgroups.into(),
        turns: 0,
    })
}

fn gate_source(gate: Gate) -> Source {
    match gate {
        Gate::First => wgsl!("linear/gate_first.wgsl"),
        Gate::Second => wgsl!("linear/gate_second.wgsl"),
    }
}

fn residual_source(residual: bool) -> Source {
    if residual { wgsl!("linear/residual_buffer.wgsl") } else { wgsl!("linear/residual_none.wgsl") }
}
