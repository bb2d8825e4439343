//! One of two values, element by element.

use super::super::contract::Contract;
use super::super::fill;
use super::broadcast::{self, sum_to};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "elementwise/select";

#[derive(Clone, Copy, Debug)]
struct Select;

/// `a` where `condition` is not 0, else `b`.
///
/// `condition` is an integer, as comparisons give it ([`less()`](super::less()), ..); `a` and `b` share one type, float or integer. All three
/// broadcast: axes are matched from the last one, and an axis that is missing or of extent 1 repeats. What is not chosen may be anything, a
/// NaN too, and has a gradient of 0. Fails when types or shapes do not fit.
pub fn select(graph: &mut Graph, condition: Value, a: Value, b: Value) -> Result<Value> {
    graph.push_builtin_one(Select, &[condition, a, b])
}

impl Op for Select {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let names = ["condition", "a", "b"];
        contract.count(inputs, &names)?;
        contract.integer("condition", &inputs[0])?;
        contract.dtype("b", &inputs[2], inputs[1].dtype)?;
        let named: Vec<_> = names.into_iter().zip(inputs).collect();
        Ok(vec![TensorDesc::new(inputs[1].dtype, broadcast::shape(&contract, &named)?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let descs: Vec<TensorDesc> = inputs.iter().map(|array| TensorDesc::f32(array.dims())).collect();
        let named: Vec<_> = descs.iter().map(|desc| ("operand", desc)).collect();
        let shape: Shape = broadcast::shape(&Contract::new(NAME), &named).unwrap_or_default();
        let places = broadcast::places(&inputs.iter().map(|array| array.shape()).collect::<Vec<_>>(), &shape);
        let chosen = |i: usize| match inputs[0].indices()[places[0][i]] {
            0 => (2, places[2][i]),
            _ => (1, places[1][i]),
        };
        let chosen = (0..shape.elements()).map(chosen);
        vec![match inputs[1].reals().is_empty() {
            false => Array::real(shape, chosen.map(|(input, at)| inputs[input].reals()[at]).collect()),
            true => Array::index(shape, chosen.map(|(input, at)| inputs[input].indices()[at]).collect()),
        }]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (condition, a, result) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
        let operands: Vec<&TensorDesc> = step.inputs.iter().collect();
        let (lanes, count, params) = broadcast::walk(NAME, &operands, result)?;
        let sources = [wgsl!("elementwise/select.wgsl"), wgsl!("elementwise/broadcast.wgsl")];
        let kernel = Kernel::new(NAME, sources)
            .lanes(lanes)
            .alias("Condition", condition.dtype)
            .read("condition", Operand::Input(0), condition.dtype)
            .read("a", Operand::Input(1), a.dtype)
            .read("b", Operand::Input(2), a.dtype)
            .write("result", Operand::Output(0), a.dtype)
            .params(params);
        Ok(Lowered::elementwise(kernel.turns(broadcast::MOST_TURNS).per_element(count, caps), lanes))
    }

    /// The upstream gradient where the operand was chosen, else 0, summed over the axes along which it repeats.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; 3];
        let Some(upstream) = adjoint.upstream(0) else { return Ok(gradients) };
        let condition = adjoint.inputs()[0];
        let zero = TensorDesc::new(graph.desc(upstream)?.dtype, [1]);
        for (i, &operand) in adjoint.inputs().iter().enumerate().skip(1).filter(|(i, _)| adjoint.wants(*i)) {
            let zero = fill(graph, zero.clone(), 0.0)?;
            let chosen = match i {
                1 => select(graph, condition, upstream, zero)?,
                _ => select(graph, condition, zero, upstream)?,
            };
            gradients[i] = Gradient::Whole(sum_to(graph, chosen, operand)?);
        }
        Ok(gradients)
    }
}

/// Every type, equal and broadcast shapes, vector and scalar widths, empty values.
#[cfg(feature = "check")]
pub(in crate::ops) fn cases() -> Vec<crate::check::Case> {
    use crate::check::{Case, Random};
    use crate::tensor::{DType, HostTensor};

    let shapes: [[&'static [usize]; 3]; 6] = [
        [&[], &[], &[1]],
        [&[2, 64], &[2, 64], &[2, 64]],
        [&[2, 63], &[2, 63], &[2, 63]],
        [&[5, 1], &[5, 12], &[12]],
        [&[3, 4, 8], &[1, 4, 1], &[3, 1, 8]],
        [&[0, 4], &[1, 4], &[4]],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I32, DType::U32] {
        for shapes in shapes {
            let label = format!("{dtype} {}", shapes.map(|shape| Shape::from(shape).to_string()).join(", "));
            cases.push(Case::new(NAME, label, move |problem| {
                let mut random = Random::new(3);
                let chosen =
                    (0..shapes[0].iter().product::<usize>()).map(|_| [0, 1, 7, 0][random.next_below(4)]);
                let condition = HostTensor::i32(shapes[0], chosen.collect())?;
                let condition = problem.input("condition", condition)?;
                let a = problem.random_within("a", dtype, shapes[1], 0.0..100.0)?;
                let b = problem.random_within("b", dtype, shapes[2], 0.0..100.0)?;
                Ok(vec![select(&mut problem.graph, condition, a, b)?])
            }));
        }
    }
    cases
}

/// Bytes are one read of every operand's element and one write.
#[cfg(feature = "check")]
pub(in crate::ops) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};
    use crate::tensor::DType;

    vec![Bench::new(NAME, "1M f32", Work::Bytes(16 << 20), |problem| {
        let [a, b] = ["a", "b"].map(|name| problem.random(name, DType::F32, [1 << 20], 1.0));
        let (a, b) = (a?, b?);
        let condition = super::less(&mut problem.graph, a, b)?;
        Ok(vec![select(&mut problem.graph, condition, a, b)?])
    })]
}
