//! Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2; moments after Kingma and Ba, arXiv
//! 1412.6980, algorithm 1). In PyTorch's form, where the decay is a fraction of the learning rate:
//!
//! ```text
//! m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
//! p = p - lr weight_decay p - lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
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

const NAME: &str = "optimizer/adamw";

params! {
    struct AdamWParams {
        count: u32,
        workgroups: u32,
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

/// One step: what `parameter` and its moments become. Hand each to [`Graph::update`], and it is changed in place.
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
        let bindings = vec![
            ("parameter", Operand::Output(0)),
            ("gradient", Operand::Input(1)),
            ("first_moment", Operand::Output(1)),
            ("second_moment", Operand::Output(2)),
            ("schedule", Operand::Input(4)),
            ("factor", Operand::Input(5)),
        ];
        let Self { beta1, beta2, eps, weight_decay } = *self;
        let params =
            |count, workgroups| AdamWParams { count, workgroups, beta1, beta2, eps, weight_decay }.into();
        let sources = [wgsl!("optimizer/adamw/adamw.wgsl")];
        super::lower(NAME, &sources, bindings, &step.inputs[0], params, caps)
    }
}
