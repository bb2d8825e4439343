//! Stochastic gradient descent with momentum (Sutskever et al., ICML 2013, in the form of `torch.optim.SGD`):
//!
//! ```text
//! g = g + weight_decay p      u = momentum u + g      p = p - lr u      Nesterov: p = p - lr (g + momentum u)
//! ```

#[cfg(feature = "check")]
mod cases;

use super::{Control, check, check_setting};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/sgd";

params! {
    struct SgdParams {
        count: u32,
        workgroups: u32,
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

/// One step: what `parameter` and its `velocity`, which starts at 0, become. Hand each to [`Graph::update`], and it is changed in
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
        let bindings = vec![
            ("parameter", Operand::Output(0)),
            ("gradient", Operand::Input(1)),
            ("velocity", Operand::Output(1)),
            ("schedule", Operand::Input(3)),
            ("factor", Operand::Input(4)),
        ];
        let Self { momentum, weight_decay, .. } = *self;
        let params = |count, workgroups| SgdParams { count, workgroups, momentum, weight_decay }.into();
        let direction = if self.nesterov {
            wgsl!("optimizer/sgd/direction_nesterov.wgsl")
        } else {
            wgsl!("optimizer/sgd/direction_velocity.wgsl")
        };
        let sources = [wgsl!("optimizer/sgd/sgd.wgsl"), direction];
        super::lower(NAME, &sources, bindings, &step.inputs[0], params, caps)
    }
}
