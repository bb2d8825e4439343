//! The gradient of softmax or its logarithm, from its result.

use super::Form;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::ops::rows;
use crate::tensor::{Array, Real, TensorDesc};

/// Appends the gradient of `x: [.., width]` from its result `y` and the gradient `upstream` of that, both of its shape and type. Sums are
/// f32 whatever the storage.
pub(super) fn append(graph: &mut Graph, form: Form, y: Value, upstream: Value) -> Result<Value> {
    graph.push_builtin_one(SoftmaxBackward(form), &[y, upstream])
}

#[derive(Clone, Copy, Debug)]
struct SoftmaxBackward(Form);

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        match self.0 {
            Form::Plain => "softmax_backward",
            Form::Logarithm => "log_softmax_backward",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        rows::gradient_contract(self.name(), inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (y, upstream) = (inputs[0], inputs[1]);
        let mut dx = Vec::with_capacity(y.reals().len());
        for (y, dy) in rows::slices(y).zip(rows::slices(upstream)) {
            let pairs = || y.iter().copied().zip(dy.iter().copied());
            match self.0 {
                Form::Plain => {
                    let sum: R = pairs().map(|(y, dy)| y * dy).sum();
                    dx.extend(pairs().map(|(y, dy)| y * (dy - sum)));
                }
                Form::Logarithm => {
                    let sum: R = dy.iter().copied().sum();
                    dx.extend(pairs().map(|(y, dy)| dy - y.exp() * sum));
                }
            }
        }
        vec![Array::real(y.shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        rows::lower_gradient(self.name(), wgsl!("softmax/backward.wgsl"), &step.inputs[0], caps, |kernel| {
            kernel.constant("LOGARITHM", self.0 == Form::Logarithm)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::rows::assert_gradient_contract;
    use crate::ops::softmax::Softmax;

    #[test]
    fn the_reference_is_what_central_differences_tend_to() {
        for form in [Form::Plain, Form::Logarithm] {
            let (x, upstream) = (random([3, 5], 1), random([3, 5], 2));
            let y = Softmax(form).reference(&[&x]).remove(0);
            let dx = SoftmaxBackward(form).reference(&[&y, &upstream]).remove(0);
            assert_gradient(&dx, &x, |x| dot(&Softmax(form).reference(&[x])[0], &upstream));
        }
    }

    #[test]
    fn shapes_and_element_types_must_agree() {
        for form in [Form::Plain, Form::Logarithm] {
            let op = SoftmaxBackward(form);
            assert_gradient_contract(op.name(), |inputs| op.contract(inputs));
        }
    }
}
