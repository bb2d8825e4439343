//! The gradient of sparsemax or 1.5-entmax, from its result.

use super::Form;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::Contract;
use crate::ops::rows::{self, Rows};
use crate::tensor::{Array, DType, Real, TensorDesc};

params! {
    /// `width` is in packs.
    struct BackwardParams {
        width: u32,
    }
}

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
        let contract = Contract::new(self.name());
        contract.count(inputs, &["y", "upstream"])?;
        let (y, upstream) = (&inputs[0], &inputs[1]);
        rows::check(&contract, "y", y)?;
        contract.same("upstream", upstream, "y", y)?;
        Ok(vec![y.clone()])
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
        let (y, name) = (&step.inputs[0], self.name());
        let rows = Rows::of(name, y)?;
        let dispatch = Kernel::new(name, [wgsl!("entmax/backward.wgsl")])
            .lanes(rows.lanes)
            .alias("Bits", DType::U32)
            .constant("SQUARED", self.0 == Form::Entmax15)
            .read("y", Operand::Input(0), y.dtype)
            .read("upstream", Operand::Input(1), y.dtype)
            .write("dx", Operand::Output(0), y.dtype)
            .params(BackwardParams { width: rows.width })
            .walks(rows.width, 2)
            .per_row(rows.rows, caps);
        let kernel = format!("{name} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::entmax::Entmax;

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
            let refused = |y, upstream| EntmaxBackward(form).contract(&[y, upstream]).unwrap_err();
            let f32 = |dims: &[usize]| TensorDesc::f32(dims);
            for (error, kind, argument) in [
                (refused(f32(&[2, 3]), f32(&[2, 1])), ErrorKind::Shape, "upstream"),
                (refused(f32(&[2]), TensorDesc::f16([2])), ErrorKind::Dtype, "upstream"),
                (refused(f32(&[]), f32(&[])), ErrorKind::Shape, "y"),
            ] {
                assert_eq!(
                    (error.op(), error.kind(), error.argument()),
                    (EntmaxBackward(form).name(), kind, argument)
                );
            }
        }
    }
}
