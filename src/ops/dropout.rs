//! Dropout (Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014), scaled while
//! training: `y = x / (1 - rate)` for elements that are kept, else 0.
//!
//! Which are kept is a function of seed, stream, step and place alone, so that a backward pass or a replay repeats it without a mask
//! in memory: element `i` is kept where number `i % 4` of [`philox`](super::philox) at the counter `(i / 4, step, stream, 0)`
//! under the seed as key is at least `rate * 2^32`.

use super::contract::{Contract, to_u32};
use super::philox::philox;
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "dropout";

params! {
    struct DropoutParams {
        key_low: u32,
        key_high: u32,
        stream: u32,
        threshold: u32,
        scale: f32,
    }
}

/// How many elements [`dropout`] drops, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability that an element is dropped: at least 0 and below 1.
    pub rate: f32,
    /// The seed of a training run.
    pub seed: u64,
    /// The number of this dropout in the model: those of other streams drop other elements in the same step.
    pub stream: u32,
}

impl Dropout {
    /// Random numbers below this drop an element. A rate below 2^-33 drops none.
    fn threshold(&self) -> u32 {
        // No rate below 1 rounds to more than 2^32 - 256, as 24 bits hold it.
        (f64::from(self.rate) * 2f64.powi(32)).round() as u32
    }

    /// What kept elements are multiplied by.
    fn scale(&self) -> f64 {
        1.0 / (1.0 - f64::from(self.rate))
    }

    /// The low and the high word of the seed.
    fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }
}

/// Each element of a float `x` of any shape kept with probability `1 - rate` and divided by it, else 0. `step: [1]` is a u32 that
/// changes from run to run; with the same one, and the same `spec`, the same elements are kept.
///
/// At a rate of 0 nothing runs. Fails when the rate is not at least 0 and below 1, `x` is not a float, or `step` not one u32.
pub fn dropout(graph: &mut Graph, x: Value, spec: &Dropout, step: Value) -> Result<Value> {
    graph.push_builtin_one(DropoutOp(*spec), &[x, step])
}

#[derive(Clone, Copy, Debug)]
struct DropoutOp(Dropout);

impl Op for DropoutOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "step"])?;
        let rate = self.0.rate;
        // A NaN lies in no range.
        if !(0.0..1.0).contains(&rate) {
            return Err(contract.argument_error("rate").expecting("at least 0 and below 1").but_found(rate));
        }
        let (x, step) = (&inputs[0], &inputs[1]);
        contract.float("x", x)?;
        contract.dtype("step", step, DType::U32)?;
        if step.shape.dims() != [1] {
            return Err(contract.shape_error("step").expecting("[1]").but_found(&step.shape));
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (spec, x, step) = (&self.0, inputs[0], inputs[1].indices()[0] as u32);
        let (threshold, scale) = (spec.threshold(), R::of(spec.scale()));
        let mut y = Vec::with_capacity(x.reals().len());
        for (block, elements) in x.reals().chunks(4).enumerate() {
            let numbers = philox([block as u32, step, spec.stream, 0], spec.key());
            let kept = numbers.map(|number| number >= threshold);
            y.extend(elements.iter().zip(kept).map(|(&x, kept)| if kept { x * scale } else { R::zero() }));
        }
        vec![Array::real(x.shape().clone(), y)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (spec, x) = (&self.0, &step.inputs[0]);
        if spec.rate == 0.0 {
            return Ok(Lowered::View(0));
        }
        // Where the elements are no whole vectors, each invocation uses one of the four numbers it makes.
        let lanes = if x.elements().is_multiple_of(4) { 4 } else { 1 };
        let count = to_u32(NAME, "elements", x.elements())? / lanes;
        let [key_low, key_high] = spec.key();
        let (stream, threshold, scale) = (spec.stream, spec.threshold(), spec.scale() as f32);
        let dispatch = Kernel::new(NAME, [wgsl!("dropout/dropout.wgsl.j2"), wgsl!("lib/philox.wgsl")])
            .lanes(lanes)
            .constant("LANES", lanes)
            .read("x", Operand::Input(0), x.dtype)
            .read_elements("step", Operand::Input(1), DType::U32)
            .write("result", Operand::Output(0), x.dtype)
            .params(DropoutParams { key_low, key_high, stream, threshold, scale })
            .per_element(count, caps);
        Ok(Lowered::elementwise(dispatch, lanes))
    }

    /// `dx = dy / (1 - rate)` where `x` was kept, else 0: the same dropout of `dy`.
    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| dropout(graph, upstream, &self.0, adjoint.inputs()[1]))
    }
}

/// Conformance cases: vector and scalar widths, rates from none to nearly all, far seeds, streams and steps. Elements lie away from
/// 0, so that one kept by mistake shows.
#[cfg(feature = "check")]
mod cases {
    use super::{Dropout, NAME, dropout};
    use crate::Result;
    use crate::check::{Bench, Case, Problem, Work};
    use crate::graph::Value;
    use crate::tensor::{DType, HostTensor, Shape};

    fn dropped(problem: &mut Problem, dtype: DType, shape: Shape, spec: Dropout, step: u32) -> Result<Value> {
        let x: Vec<f32> = (0..shape.elements()).map(|i| [1.0, -1.5, 0.75, 2.0, -0.5][i % 5]).collect();
        let x = problem.input("x", HostTensor::from_f32(dtype, shape, &x)?)?;
        let step = problem.input("step", HostTensor::u32([1], vec![step])?)?;
        dropout(&mut problem.graph, x, &spec, step)
    }

    pub(crate) fn cases() -> Vec<Case> {
        let shapes: [&'static [usize]; 9] =
            [&[], &[0], &[1], &[2, 2], &[63], &[64], &[65, 4], &[97, 3], &[1000, 7]];
        let spec = Dropout { rate: 0.1, seed: 0x0123_4567_89AB_CDEF, stream: 3 };
        let mut cases = Vec::new();
        for dtype in [DType::F32, DType::F16] {
            for shape in shapes {
                let label = format!("{dtype} {}", Shape::from(shape));
                cases.push(Case::new(NAME, label, move |problem| {
                    Ok(vec![dropped(problem, dtype, shape.into(), spec, 17)?])
                }));
            }
            for rate in [0.0, 1e-30, 0.5, 0.9, 1.0 - f32::EPSILON / 2.0] {
                let spec = Dropout { rate, ..spec };
                cases.push(Case::new(NAME, format!("{dtype} rate {rate:e}"), move |problem| {
                    Ok(vec![dropped(problem, dtype, [100, 8].into(), spec, 1)?])
                }));
            }
        }
        for (seed, stream, step) in
            [(0, 0, 0), (u64::MAX, u32::MAX, u32::MAX), (1 << 32, 0, 0), (0, 0, 1 << 31)]
        {
            let spec = Dropout { rate: 0.5, seed, stream };
            let label = format!("seed {seed:#x}, stream {stream:#x}, step {step:#x}");
            cases.push(Case::new(NAME, label, move |problem| {
                Ok(vec![dropped(problem, DType::F32, [31, 4].into(), spec, step)?])
            }));
        }
        cases
    }

    /// One read and one write of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32", Work::Bytes(8 << 20), |problem| {
            let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
            let step = problem.input("step", HostTensor::u32([1], vec![0])?)?;
            let spec = Dropout { rate: 0.1, seed: 1, stream: 0 };
            Ok(vec![dropout(&mut problem.graph, x, &spec, step)?])
        })]
    }
}
