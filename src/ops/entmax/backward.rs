//! The gradient of sparsemax or 1.5-entmax, from its result.

use super::Form;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered, wgsl};
use crate::ops::rows;
use crate::tensor::{Array, DType, Real, TensorDesc};

/// Appends the gradient of `x: [.., width]` from its result `y` and the gradient `upstream` of that, both of its shape and type. Sums are
/// f32 whatever the storage.
pub(super) fn append(graph: &mut Graph, form: Form, y: Value, upstream: Value) -> Result<Value> {
    graph.push_builtin_one(EntmaxBackward(form), &[y, upstream])
}

#[derive(Clone, Copy, Debug)]
struct EntmaxBackward(Form);

impl EntmaxBackward {
    /// How much an element of result `y` takes part: 0 where the result is, and NaN where it is.
    fn share<R: Real>(self, y: R) -> R {
        match self.0 {
            _ if y.is_nan() => y,
            Form::Sparsemax if y > R::zero() => R::one(),
            Form::Sparsemax => R::zero(),
            Form::Entmax15 => y.max(R::zero()).sqrt(),
        }
    }
}

impl Op for EntmaxBackward {
    fn name(&self) -> &'static str {
        match self.0 {
            Form::Sparsemax => "sparsemax_backward",
            Form::Entmax15 => "entmax15_backward",
        }
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        rows::gradient_contract(self.name(), inputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (y, upstream) = (inputs[0], inputs[1]);
        let mut dx = Vec::with_capacity(y.reals().len());
        for (y, dy) in rows::slices(y).zip(rows::slices(upstream)) {
            let pairs = || y.iter().map(|&y| self.share(y)).zip(dy.iter().copied());
            let whole: R = pairs().map(|(share, _)| share).sum();
            let sum: R = pairs().map(|(share, dy)| share * dy).sum();
            // A row of zeros is none of the op's results.
            let mean = if whole == R::zero() { sum } else { sum / whole };
            dx.extend(pairs().map(|(share, dy)| share * (dy - mean)));
        }
        vec![Array::real(y.shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        rows::lower_gradient(self.name(), wgsl!("entmax/backward.wgsl"), &step.inputs[0], caps, |kernel| {
            kernel.alias("Bits", DType::U32).constant("SQUARED", self.0 == Form::Entmax15)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::entmax::Entmax;
    use crate::ops::rows::assert_gradient_contract;

    #[test]
    fn the_reference_is_what_central_differences_tend_to() {
        for form in [Form::Sparsemax, Form::Entmax15] {
            // So far apart that the least weigh nothing.
            let (x, upstream) = (random([3, 5], 1).map(|x| 3.0 * x), random([3, 5], 2));
            let y = Entmax(form).reference(&[&x]).remove(0);
            assert!(y.reals().contains(&0.0), "no element is left out");
            let dx = EntmaxBackward(form).reference(&[&y, &upstream]).remove(0);
            assert_gradient(&dx, &x, |x| dot(&Entmax(form).reference(&[x])[0], &upstream));
        }
    }

    #[test]
    fn shapes_and_element_types_must_agree() {
        for form in [Form::Sparsemax, Form::Entmax15] {
            let op = EntmaxBackward(form);
            assert_gradient_contract(op.name(), |inputs| op.contract(inputs));
        }
    }
}
