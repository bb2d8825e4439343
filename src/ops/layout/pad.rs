//! Zeros around a float value along an axis.

use super::super::contract::{Contract, to_u32};
use super::super::upstream;
#[cfg(feature = "check")]
use super::cases::{FLOATS, bench, of_types};
use super::{check_axis, slice};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "layout/pad";

params! {
    /// Lengths in packs.
    struct PadParams {
        line: u32,
        x_line: u32,
        start: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct Pad {
    axis: usize,
    start: usize,
    extent: usize,
}

/// A float `x` from `start` on along `axis` of a result whose extent there is `extent`; zeros elsewhere.
///
/// The opposite of [`slice()`]. Where `x` fills the axis, nothing runs. Fails when `x` is not a float, there is no such axis, or `x` leaves the result.
pub fn pad(graph: &mut Graph, x: Value, axis: usize, start: usize, extent: usize) -> Result<Value> {
    graph.push_builtin_one(Pad { axis, start, extent }, &[x])
}

impl Pad {
    /// Elements of `shape` from one place along the outer axes to the next.
    fn line(&self, shape: &Shape) -> usize {
        shape.dims()[self.axis..].iter().product()
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x"])?;
        contract.float("x", &inputs[0])?;
        check_axis(&contract, self.axis, &inputs[0])?;
        let mut dims = inputs[0].shape.dims().to_vec();
        let least = self.start.saturating_add(dims[self.axis]);
        if self.extent < least {
            return Err(contract
                .argument_error("extent")
                .expecting(format!("at least {least}: {} from {} on", dims[self.axis], self.start))
                .but_found(self.extent));
        }
        dims[self.axis] = self.extent;
        Ok(vec![TensorDesc::new(inputs[0].dtype, dims)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let mut dims = x.dims().to_vec();
        dims[self.axis] = self.extent;
        let shape = Shape::from(dims);
        let (line, x_line) = (self.line(&shape), self.line(x.shape()));
        let start = self.start * shape.strides()[self.axis];
        let from = |i: usize| {
            let place = (i % line).checked_sub(start).filter(|&place| place < x_line)?;
            Some(i / line * x_line + place)
        };
        let elements = (0..shape.elements()).map(|i| from(i).map_or(R::zero(), |place| x.reals()[place]));
        let elements = elements.collect();
        vec![Array::real(shape, elements)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, result) = (&step.inputs[0], &step.outputs[0]);
        if x.shape == result.shape {
            return Ok(Lowered::View(0));
        }
        let lengths =
            [self.line(&result.shape), self.line(&x.shape), self.start * result.shape.strides()[self.axis]];
        let lanes = if lengths.iter().all(|length| length.is_multiple_of(4)) { 4 } else { 1 };
        let packs = |what, elements: usize| to_u32(NAME, what, elements / lanes);
        let count = packs("elements", result.elements())?;
        let params = PadParams {
            line: packs("line", lengths[0])?,
            x_line: packs("line", lengths[1])?,
            start: packs("start", lengths[2])?,
        };
        let dispatch = Kernel::new(NAME, [wgsl!("layout/pad.wgsl")])
            .lanes(lanes as u32)
            .read_stored("x", Operand::Input(0), result.dtype)
            .write_stored("result", Operand::Output(0), result.dtype)
            .params(params)
            .per_element(count, caps);
        let reason = "as many elements at a time as start and lines are whole packs of";
        Ok(Lowered::streaming(format!("{NAME} x{lanes}"), reason, vec![dispatch], Vec::new()))
    }

    /// `dx` is the part of `dy` where `x` lies.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let extent = graph.desc(adjoint.inputs()[0])?.shape.dims()[self.axis];
            slice(graph, upstream, self.axis, self.start..self.start + extent)
        })
    }
}

/// Every axis, zeros before, behind and on both sides, whole vectors and not, empty values.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    /// A shape, and the axis with what is put before and behind.
    type Padded = (&'static [usize], (usize, usize, usize));
    let problems: [Padded; 16] = [
        (&[1], (0, 0, 2)),
        (&[1], (0, 0, 1)),
        (&[2], (0, 61, 63)),
        (&[56], (0, 8, 64)),
        (&[64], (0, 1, 65)),
        (&[97], (0, 3, 1000)),
        (&[0], (0, 2, 5)),
        (&[3, 0], (1, 0, 4)),
        (&[0, 4], (1, 4, 12)),
        (&[2, 4], (1, 4, 12)),
        (&[2, 4], (1, 3, 12)),
        (&[2, 3, 4], (1, 1, 5)),
        (&[2, 3, 4], (0, 7, 9)),
        (&[7, 3], (0, 0, 9)),
        (&[3, 2, 3, 3], (1, 1, 4)),
        (&[2, 1, 2, 1, 2, 1, 2, 3], (4, 1, 3)),
    ];
    of_types(
        NAME,
        FLOATS,
        &problems,
        |(axis, start, extent)| format!("from {start} on of {extent} along {axis}"),
        |graph, x, (axis, start, extent)| pad(graph, x, axis, start, extent),
    )
}

/// One read of every element and one write of every element of the result.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    let third = |graph: &mut Graph, x| pad(graph, x, 1, 1024, 3072);
    vec![bench(NAME, "1M f32, a third of the columns", 16 << 20, &[1024, 1024], third)]
}
