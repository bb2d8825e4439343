//! The gradients of a loss of two values: the slopes of its terms, times upstream over what the sum is divided by.

use super::{Kind, packs};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::Contract;
use crate::ops::loss::check_upstream;
use crate::tensor::{Array, DType, Real, TensorDesc};

params! {
    struct SlopeParams {
        divisor: f32,
    }
}

/// Appends the gradients of both values, of their shape and type, for `[a, b, upstream]`; upstream is that of the loss, f32 of shape
/// `[1]`. One that nothing reads is not computed.
pub(super) fn append(graph: &mut Graph, kind: Kind, inputs: [Value; 3]) -> Result<Vec<Value>> {
    graph.push_builtin(PairBackward(kind), &inputs)
}

#[derive(Clone, Copy, Debug)]
struct PairBackward(Kind);

impl Op for PairBackward {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::MeanSquaredError => "loss/mean_squared_error_backward",
            Kind::KlDivergence => "loss/kl_divergence_backward",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        let [a, b] = self.0.arguments();
        contract.count(inputs, &[a, b, "upstream"])?;
        check_upstream(&contract, &inputs[2])?;
        self.0.check(&contract, &inputs[0], &inputs[1])?;
        Ok(inputs[..2].to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0], inputs[1]);
        let factor = inputs[2].reals()[0] / R::of(self.0.divisor(a.dims()) as f64);
        let slopes = || a.reals().iter().zip(b.reals()).map(|(&a, &b)| self.0.slopes(a, b));
        [0, 1]
            .map(|i| Array::real(a.shape().clone(), slopes().map(|slopes| slopes[i] * factor).collect()))
            .into()
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (op, a) = (self.name(), &step.inputs[0]);
        let (lanes, packs) = packs(op, a)?;
        let [d_a, d_b] = [0, 1].map(|i| step.wanted[i].then_some(Operand::Output(i)));
        let dispatch = Kernel::new(op, [wgsl!("loss/pair/backward.wgsl"), self.0.formulas()])
            .lanes(lanes)
            .read("a", Operand::Input(0), a.dtype)
            .read("b", Operand::Input(1), a.dtype)
            .read_elements("upstream", Operand::Input(2), DType::F32)
            .write_if("d_a", d_a, a.dtype)
            .write_if("d_b", d_b, a.dtype)
            .params(SlopeParams { divisor: self.0.divisor(a.shape.dims()) as f32 })
            .per_element(packs, caps);
        Ok(Lowered::elementwise(dispatch, lanes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::differences::{assert_gradient, random};
    use crate::ops::loss::pair::PairLoss;

    const KINDS: [Kind; 2] = [Kind::MeanSquaredError, Kind::KlDivergence];

    #[test]
    fn is_the_slope_of_the_loss() {
        for kind in KINDS {
            let (a, b, upstream) = (random([3, 5], 1), random([3, 5], 2), Array::real([1], vec![-1.5]));
            let d = PairBackward(kind).reference(&[&a, &b, &upstream]);
            let loss = |a: &Array<f64>, b: &Array<f64>| PairLoss(kind).reference(&[a, b])[0].reals()[0];
            assert_gradient(&d[0], &a, |a| -1.5 * loss(a, &b));
            assert_gradient(&d[1], &b, |b| -1.5 * loss(&a, b));
        }
    }

    #[test]
    fn the_gradient_of_a_loss_is_one_number() {
        for kind in KINDS {
            let x = TensorDesc::f32([2, 3]);
            let error = PairBackward(kind).contract(&[x.clone(), x.clone(), x]).unwrap_err();
            let op = PairBackward(kind).name();
            assert_eq!((error.op(), error.kind(), error.argument()), (op, ErrorKind::Shape, "upstream"));
        }
    }
}
