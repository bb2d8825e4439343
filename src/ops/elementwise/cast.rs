//! Conversion to a float type.

use super::super::contract::{Contract, to_u32};
use super::super::upstream;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "elementwise/cast";

#[derive(Clone, Copy, Debug)]
struct Cast {
    to: DType,
}

/// `x`, of any type and shape, stored as `to` (f32 or f16). What lies beyond f16's range (65,504) has no defined f16 result; integers
/// beyond 2^24 are rounded. Floats have gradients.
pub fn cast(graph: &mut Graph, x: Value, to: DType) -> Result<Value> {
    graph.push_builtin_one(Cast { to }, &[x])
}

/// `x` in the float type `dtype`, itself where that is its type.
pub(crate) fn converted(graph: &mut Graph, x: Value, dtype: DType) -> Result<Value> {
    if graph.desc(x)?.dtype == dtype { Ok(x) } else { cast(graph, x, dtype) }
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if !self.to.is_float() {
            return Err(Error::new(ErrorKind::Dtype, NAME, "to").expecting("f32 or f16").but_found(self.to));
        }
        Contract::new(NAME).count(inputs, &["x"])?;
        Ok(vec![TensorDesc::new(self.to, inputs[0].shape.clone())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        if x.indices().is_empty() {
            return vec![x.clone()];
        }
        vec![Array::real(x.shape().clone(), x.indices().iter().map(|&index| R::of(index as f64)).collect())]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let lanes = if x.elements().is_multiple_of(4) { 4 } else { 1 };
        let kernel = Kernel::new(NAME, [wgsl!("elementwise/cast.wgsl")])
            .lanes(lanes)
            .read("x", Operand::Input(0), x.dtype)
            .write("result", Operand::Output(0), self.to);
        let count = to_u32(NAME, "elements", x.elements())? / lanes;
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }

    /// `dx = dy`, in the type of `x`.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            let from = graph.desc(adjoint.inputs()[0])?.dtype;
            cast(graph, upstream, from)
        })
    }
}

/// Every direction, at widths that fill vectors and at widths that do not.
#[cfg(feature = "check")]
pub(in crate::ops) fn cases() -> Vec<crate::check::Case> {
    let mut cases = Vec::new();
    let floats = [(DType::F32, DType::F16), (DType::F16, DType::F32), (DType::F16, DType::F16)];
    let integers = [(DType::I32, DType::F32), (DType::U32, DType::F32), (DType::I32, DType::F16)];
    for (from, to) in floats.into_iter().chain(integers) {
        for elements in [0, 1, 63, 64, 1001] {
            let label = format!("{from} to {to}, {elements} elements");
            cases.push(crate::check::Case::new(NAME, label, move |problem| {
                let range = if from == DType::U32 { 0.0..100.0 } else { -100.0..100.0 };
                let x = problem.random_within("x", from, [elements], range)?;
                Ok(vec![cast(&mut problem.graph, x, to)?])
            }));
        }
    }
    cases
}

/// Bytes are one read and one write of every element.
#[cfg(feature = "check")]
pub(in crate::ops) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    vec![
        Bench::new(NAME, "1M f32 to f16", Work::Bytes(6 << 20), |problem| {
            let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
            Ok(vec![cast(&mut problem.graph, x, DType::F16)?])
        })
        .f16(),
    ]
}
