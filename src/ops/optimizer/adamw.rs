//! Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2; moments after Kingma and Ba, arXiv
//! 1412.6980, algorithm 1). In PyTorch's form, where the decay is a fraction of the learning rate:
//!
//! ```text
//! m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
//! p = p - lr weight_decay p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
//! ```

use super::{Control, check, check_setting};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/adamw";

params! {
    struct AdamWParams {
        beta1: f32,
        beta2: f32,
        eps: f32,
        weight_decay: f32,
    }
}

/// Settings of [`adamw`]. The default is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// How much of the first moment stays from step to step.
    pub beta1: f32,
    /// How much of the second moment stays from step to step.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// What fraction of the learning rate a parameter shrinks by.
    pub weight_decay: f32,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// AdamW's state of one parameter: running means of its gradient and of the gradient's square.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Of the gradient.
    pub first: Value,
    /// Of its square.
    pub second: Value,
}

/// One step of AdamW: the new values of `parameter` and of its moments. Hand each to [`Graph::update`], and it is changed in place.
///
/// All are f32 and of one shape. Fails when one is not, or a setting has no meaning.
pub fn adamw(
    graph: &mut Graph,
    parameter: Value,
    gradient: Value,
    moments: Moments,
    control: Control,
    settings: &AdamW,
) -> Result<(Value, Moments)> {
    let inputs = [parameter, gradient, moments.first, moments.second, control.schedule, control.factor];
    let outputs = graph.push_builtin(*settings, &inputs)?;
    Ok((outputs[0], Moments { first: outputs[1], second: outputs[2] }))
}

impl Op for AdamW {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_setting(NAME, "beta1", self.beta1, 0.0, 1.0)?;
        check_setting(NAME, "beta2", self.beta2, 0.0, 1.0)?;
        check_setting(NAME, "eps", self.eps, 0.0, 1.0)?;
        check_setting(NAME, "weight_decay", self.weight_decay, 0.0, f32::MAX)?;
        check(NAME, inputs, &["parameter", "gradient", "first moment", "second moment"], true)?;
        Ok(vec![inputs[0].clone(); 3])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [p, g, m, v, schedule, factor] = [0, 1, 2, 3, 4, 5].map(|i| inputs[i].reals());
        let (lr, correction1, correction2, factor) = (schedule[0], schedule[1], schedule[2], factor[0]);
        let [beta1, beta2, eps, decay] =
            [self.beta1, self.beta2, self.eps, self.weight_decay].map(|x| R::of(x.into()));
        let skip = factor == R::zero();
        let one = R::one();
        let (mut new_p, mut new_m, mut new_v) = (p.to_vec(), m.to_vec(), v.to_vec());
        for i in (0..p.len()).filter(|_| !skip) {
            let g = factor * g[i];
            new_m[i] = beta1 * m[i] + (one - beta1) * g;
            new_v[i] = beta2 * v[i] + (one - beta2) * g * g;
            let root = (new_v[i] / correction2).sqrt() + eps;
            new_p[i] = p[i] - lr * decay * p[i] - lr / correction1 * new_m[i] / root;
        }
        [new_p, new_m, new_v].map(|x| Array::real(inputs[0].shape().clone(), x)).into()
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 2), (2, 3)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let Self { beta1, beta2, eps, weight_decay } = *self;
        super::lower(NAME, wgsl!("optimizer/adamw.wgsl"), &step.inputs[0], caps, |kernel| {
            kernel
                .update("parameter", Operand::Output(0), DType::F32)
                .read("gradient", Operand::Input(1), DType::F32)
                .update("first_moment", Operand::Output(1), DType::F32)
                .update("second_moment", Operand::Output(2), DType::F32)
                .read_elements("schedule", Operand::Input(4), DType::F32)
                .read_elements("factor", Operand::Input(5), DType::F32)
                .params(AdamWParams { beta1, beta2, eps, weight_decay })
        })
    }
}

/// Conformance cases: packs and single elements, the first step and a late one, a step that is skipped.
#[cfg(feature = "check")]
mod cases {
    use super::{AdamW, Control, Moments, NAME, adamw};
    use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
    use crate::tensor::{DType, HostTensor};

    pub(crate) fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for shape in [&[1][..], &[63], &[65, 4], &[97, 3], &[0], &[1000, 12]] {
            // Before the first step there are no moments.
            for (when, amplitude, schedule) in
                [("first", 0.0, [3e-3, 0.1, 1e-3]), ("late", 0.5, [1e-4, 1.0, 0.8])]
            {
                for factor in [1.0, 0.25, 0.0] {
                    let label = format!("{shape:?}, {when} step, factor {factor}");
                    let build = move |problem: &mut crate::check::Problem| {
                        let parameter = problem.random("parameter", DType::F32, shape, 1.0)?;
                        let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                        let first = problem.random("first", DType::F32, shape, amplitude)?;
                        let root = problem.random("second", DType::F32, shape, amplitude)?;
                        let second = crate::ops::multiply(&mut problem.graph, root, root)?;
                        let schedule = problem.input("schedule", HostTensor::f32([3], schedule.to_vec())?)?;
                        let factor = problem.input("factor", HostTensor::f32([1], vec![factor])?)?;
                        let (control, moments) = (Control { schedule, factor }, Moments { first, second });
                        let settings = AdamW::default();
                        let (parameter, moments) =
                            adamw(&mut problem.graph, parameter, gradient, moments, control, &settings)?;
                        Ok(vec![parameter, moments.first, moments.second])
                    };
                    cases.push(Case::new(NAME, label, build).builtin_ulps(3.0 * DIVISION_ULPS + SQRT_ULPS));
                }
            }
        }
        cases
    }

    /// Four reads and three writes of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32", Work::Bytes(28 << 20), |problem| {
            let mut random = |name, count: usize| problem.random(name, DType::F32, [count], 1.0);
            let (parameter, gradient) = (random("parameter", 1 << 20)?, random("gradient", 1 << 20)?);
            let moments = Moments { first: random("first", 1 << 20)?, second: random("second", 1 << 20)? };
            let control = Control { schedule: random("schedule", 3)?, factor: random("factor", 1)? };
            let spec = AdamW::default();
            Ok(vec![adamw(&mut problem.graph, parameter, gradient, moments, control, &spec)?.0])
        })]
    }
}
