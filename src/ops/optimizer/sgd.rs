//! Stochastic gradient descent with momentum (Sutskever et al., ICML 2013, in the form of `torch.optim.SGD`):
//!
//! ```text
//! g = g + weight_decay p      u = momentum u + g      p = p - lr u      Nesterov: p = p - lr (g + momentum u)
//! ```

use super::{Control, check, check_setting};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/sgd";

params! {
    struct SgdParams {
        momentum: f32,
        weight_decay: f32,
    }
}

/// Settings of [`sgd`]. The default is plain descent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sgd {
    /// How much of the velocity stays from step to step.
    pub momentum: f32,
    /// What fraction of a parameter is added to its gradient.
    pub weight_decay: f32,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
}

/// One step of SGD: the new values of `parameter` and of its `velocity`, which starts at 0. Hand each to [`Graph::update`], and it is changed in
/// place.
///
/// All are f32 and of one shape. Fails when one is not, or a setting has no meaning.
pub fn sgd(
    graph: &mut Graph,
    parameter: Value,
    gradient: Value,
    velocity: Value,
    control: Control,
    settings: &Sgd,
) -> Result<(Value, Value)> {
    let outputs =
        graph.push_builtin(*settings, &[parameter, gradient, velocity, control.schedule, control.factor])?;
    Ok((outputs[0], outputs[1]))
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_setting(NAME, "momentum", self.momentum, 0.0, 1.0)?;
        check_setting(NAME, "weight_decay", self.weight_decay, 0.0, f32::MAX)?;
        check(NAME, inputs, &["parameter", "gradient", "velocity"], true)?;
        Ok(vec![inputs[0].clone(); 2])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [p, g, u, schedule, factor] = [0, 1, 2, 3, 4].map(|i| inputs[i].reals());
        let [momentum, decay] = [self.momentum, self.weight_decay].map(|x| R::of(x.into()));
        let (mut new_p, mut new_u) = (p.to_vec(), u.to_vec());
        for i in (0..p.len()).filter(|_| factor[0] != R::zero()) {
            let g = factor[0] * g[i] + decay * p[i];
            new_u[i] = momentum * u[i] + g;
            let direction = if self.nesterov { g + momentum * new_u[i] } else { new_u[i] };
            new_p[i] = p[i] - schedule[0] * direction;
        }
        [new_p, new_u].map(|x| Array::real(inputs[0].shape().clone(), x)).into()
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0), (1, 2)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let Self { momentum, weight_decay, nesterov } = *self;
        super::lower(NAME, wgsl!("optimizer/sgd.wgsl"), &step.inputs[0], caps, |kernel| {
            kernel
                .constant("NESTEROV", nesterov)
                .update("parameter", Operand::Output(0), DType::F32)
                .read("gradient", Operand::Input(1), DType::F32)
                .update("velocity", Operand::Output(1), DType::F32)
                .read_elements("schedule", Operand::Input(3), DType::F32)
                .read_elements("factor", Operand::Input(4), DType::F32)
                .params(SgdParams { momentum, weight_decay })
        })
    }
}

/// Conformance cases: packs and single elements, every setting, a step that is skipped.
#[cfg(feature = "check")]
mod cases {
    use super::{Control, NAME, Sgd, sgd};
    use crate::check::{Bench, Case, Work};
    use crate::tensor::{DType, HostTensor};

    pub(crate) fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for shape in [&[1][..], &[63], &[65, 4], &[97, 3], &[0]] {
            for (name, settings) in [
                ("plain", Sgd::default()),
                ("momentum", Sgd { momentum: 0.9, ..Sgd::default() }),
                ("Nesterov", Sgd { momentum: 0.9, weight_decay: 0.1, nesterov: true }),
            ] {
                for factor in [1.0, 0.0] {
                    let label = format!("{shape:?}, {name}, factor {factor}");
                    cases.push(Case::new(NAME, label, move |problem| {
                        let parameter = problem.random("parameter", DType::F32, shape, 1.0)?;
                        let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                        let velocity = problem.random("velocity", DType::F32, shape, 1.0)?;
                        let schedule =
                            problem.input("schedule", HostTensor::f32([3], vec![0.1, 0.0, 0.0])?)?;
                        let factor = problem.input("factor", HostTensor::f32([1], vec![factor])?)?;
                        let control = Control { schedule, factor };
                        let (parameter, velocity) =
                            sgd(&mut problem.graph, parameter, gradient, velocity, control, &settings)?;
                        Ok(vec![parameter, velocity])
                    }));
                }
            }
        }
        cases
    }

    /// Three reads and two writes of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32", Work::Bytes(20 << 20), |problem| {
            let mut random = |name, count: usize| problem.random(name, DType::F32, [count], 1.0);
            let (parameter, gradient) = (random("parameter", 1 << 20)?, random("gradient", 1 << 20)?);
            let velocity = random("velocity", 1 << 20)?;
            let control = Control { schedule: random("schedule", 3)?, factor: random("factor", 1)? };
            let spec = Sgd { momentum: 0.9, ..Sgd::default() };
            Ok(vec![sgd(&mut problem.graph, parameter, gradient, velocity, control, &spec)?.0])
        })]
    }
}
