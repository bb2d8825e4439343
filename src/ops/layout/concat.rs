//! Values one after the other along an axis.

use super::super::contract::Contract;
use super::copy::{self, Block, Place};
use super::{check_axis, slice};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "layout/concat";

#[derive(Clone, Copy, Debug)]
struct Concat {
    axis: usize,
}

/// `values`, one or more, one after the other along `axis`, of any element type.
///
/// Extents along `axis` may differ and may be 0. Fails when there is no value, when element types or other axes differ, or when
/// there is no such axis.
pub fn concat(graph: &mut Graph, values: &[Value], axis: usize) -> Result<Value> {
    graph.push_builtin_one(Concat { axis }, values)
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let [first, ..] = inputs else {
            return Err(contract.argument_error("values").expecting("at least one").but_found("none"));
        };
        check_axis(&contract, self.axis, first)?;
        let mut result = first.shape.dims().to_vec();
        result[self.axis] = 0;
        for (i, value) in inputs.iter().enumerate() {
            contract.dtype(format!("value {i}"), value, first.dtype)?;
            let mut expected = first.shape.dims().to_vec();
            expected[self.axis] = value.shape.dims().get(self.axis).copied().unwrap_or(0);
            if expected != value.shape.dims() {
                return Err(contract
                    .shape_error(format!("value {i}"))
                    .expecting(format!("{} except along axis {}, as value 0", first.shape, self.axis))
                    .but_found(&value.shape));
            }
            // An absurd sum fails a limit check later instead of wrapping.
            result[self.axis] = result[self.axis].saturating_add(expected[self.axis]);
        }
        Ok(vec![TensorDesc::new(first.dtype, result)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let mut shape = inputs[0].dims().to_vec();
        shape[self.axis] = inputs.iter().map(|x| x.dims()[self.axis]).sum();
        let outer = shape[..self.axis].iter().product();
        let reals: Vec<&[R]> = inputs.iter().map(|x| x.reals()).collect();
        let indices: Vec<&[i64]> = inputs.iter().map(|x| x.indices()).collect();
        let (reals, indices) = (interleaved(&reals, outer), interleaved(&indices, outer));
        vec![if indices.is_empty() { Array::real(shape, reals) } else { Array::index(shape, indices) }]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let result = step.outputs[0].shape.strides();
        let mut start = 0;
        let mut blocks = Vec::with_capacity(step.inputs.len());
        for value in &step.inputs {
            blocks.push(Block {
                extents: value.shape.dims().to_vec(),
                x: Place::new(0, &value.shape.strides()),
                result: Place::new(start, &result),
            });
            start += value.shape.dims()[self.axis] * result[self.axis];
        }
        copy::lower(NAME, &blocks, step, caps)
    }

    /// `dx_i` is the part of `dy` where `x_i` lies.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let Some(upstream) = adjoint.upstream(0) else {
            return Ok(vec![Gradient::None; adjoint.inputs().len()]);
        };
        let mut start = 0;
        let mut gradients = Vec::with_capacity(adjoint.inputs().len());
        for (i, &x) in adjoint.inputs().iter().enumerate() {
            let end = start + graph.desc(x)?.shape.dims()[self.axis];
            gradients.push(if adjoint.wants(i) {
                Gradient::Whole(slice(graph, upstream, self.axis, start..end)?)
            } else {
                Gradient::None
            });
            start = end;
        }
        Ok(gradients)
    }
}

/// `outer` times the next piece of every part, where each part is as many equal pieces.
fn interleaved<T: Copy>(parts: &[&[T]], outer: usize) -> Vec<T> {
    let mut elements = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for i in 0..outer {
        for part in parts {
            let piece = part.len() / outer;
            elements.extend_from_slice(&part[i * piece..(i + 1) * piece]);
        }
    }
    elements
}

/// Conformance cases: every axis, parts that are whole vectors and parts that are not, empty ones, one value twice.
#[cfg(feature = "check")]
mod cases {
    use super::{NAME, concat};
    use crate::Result;
    use crate::check::{Bench, Case, Work};
    use crate::ops::layout::cases::DTYPES;
    use crate::tensor::DType;

    pub(crate) fn cases() -> Vec<Case> {
        // A shape, the axis, and every part's extent along it.
        let problems: [(&'static [usize], usize, &'static [usize]); 14] = [
            (&[0], 0, &[1]),
            (&[0], 0, &[4, 3, 1]),
            (&[0], 0, &[63, 64, 65]),
            (&[0], 0, &[0, 0]),
            (&[5, 0], 1, &[2, 0, 3]),
            (&[5, 0], 1, &[4, 8]),
            (&[5, 0], 1, &[4, 6, 2]),
            (&[0, 97], 0, &[2, 3]),
            (&[0, 1000], 0, &[1, 2]),
            (&[2, 0, 3], 1, &[1, 2, 3, 4, 5]),
            (&[2, 0, 4], 1, &[1, 2]),
            (&[0, 3], 1, &[2, 1]),
            (&[3, 2, 0, 2, 2], 2, &[2, 1]),
            (&[1, 2, 1, 2, 1, 2, 1, 0], 7, &[3, 2]),
        ];
        let mut cases = Vec::new();
        for (dtype, amplitude) in DTYPES {
            for (shape, axis, extents) in problems {
                let label = format!("{dtype} {} with {extents:?} along {axis}", crate::Shape::from(shape));
                cases.push(Case::new(NAME, label, move |problem| {
                    let mut part = |(i, &extent): (usize, &usize)| {
                        let mut shape = shape.to_vec();
                        shape[axis] = extent;
                        problem.random(&format!("value {i}"), dtype, shape, amplitude)
                    };
                    let parts = extents.iter().enumerate().map(&mut part).collect::<Result<Vec<_>>>()?;
                    Ok(vec![concat(&mut problem.graph, &parts, axis)?])
                }));
            }
            cases.push(Case::new(NAME, format!("{dtype} one value twice"), move |problem| {
                let x = problem.random("x", dtype, [3, 5], amplitude)?;
                Ok(vec![concat(&mut problem.graph, &[x, x], 0)?, concat(&mut problem.graph, &[x, x], 1)?])
            }));
        }
        cases
    }

    /// One read and one write of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32, by columns", Work::Bytes(8 << 20), |problem| {
            let a = problem.random("a", DType::F32, [1024, 512], 1.0)?;
            let b = problem.random("b", DType::F32, [1024, 512], 1.0)?;
            Ok(vec![concat(&mut problem.graph, &[a, b], 1)?])
        })]
    }
}
