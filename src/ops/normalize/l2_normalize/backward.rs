//! The gradient: `dx = (g - y (y . g)) / |x|` for `y = x / |x|` and upstream `g`, and `g / eps` for rows shorter than eps, which the
//! forward pass divides by that number.

use super::{L2Params, check_eps, norm};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::Contract;
use crate::ops::rows::{self, Rows};
use crate::tensor::{Array, Real, TensorDesc};

const NAME: &str = "normalize/l2_normalize_backward";

/// Appends the gradient of `x: [.., width]` for `upstream` of its shape and type. A row as long as eps counts as a longer one. Sums are
/// f32 whatever the storage, and no square overflows; a result beyond the storage's range is not defined.
pub(super) fn append(graph: &mut Graph, x: Value, upstream: Value, eps: f32) -> Result<Value> {
    graph.push_builtin_one(L2NormalizeBackward { eps }, &[x, upstream])
}

#[derive(Clone, Copy, Debug)]
struct L2NormalizeBackward {
    eps: f32,
}

impl Op for L2NormalizeBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        check_eps(NAME, self.eps)?;
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "upstream"])?;
        rows::check(&contract, "x", &inputs[0])?;
        contract.same("upstream", &inputs[1], "x", &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, eps) = (inputs[0], R::of(self.eps.into()));
        let mut dx = Vec::with_capacity(x.reals().len());
        for (x, g) in rows::slices(x).zip(rows::slices(inputs[1])) {
            let norm = norm(x);
            if norm < eps {
                dx.extend(g.iter().map(|&g| g / eps));
                continue;
            }
            let along: R = x.iter().zip(g).map(|(&x, &g)| x / norm * g).sum();
            dx.extend(x.iter().zip(g).map(|(&x, &g)| (g - x / norm * along) / norm));
        }
        vec![Array::real(x.shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let rows = Rows::of(NAME, x)?;
        let sources =
            [wgsl!("normalize/l2_normalize/backward.wgsl"), wgsl!("normalize/l2_normalize/norm.wgsl")];
        let dispatch = Kernel::new(NAME, sources)
            .lanes(rows.lanes)
            .read("x", Operand::Input(0), x.dtype)
            .read("upstream", Operand::Input(1), x.dtype)
            .write("dx", Operand::Output(0), x.dtype)
            .params(L2Params { width: rows.width, eps: self.eps })
            .walks(rows.width, 3)
            .per_row(rows.rows, caps);
        let kernel = format!("{NAME} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::normalize::l2_normalize::L2Normalize;

    #[test]
    fn is_the_slope_of_the_forward_pass() {
        let (x, g) = (random([4, 5], 1), random([4, 5], 2));
        // All rows are longer, and all are shorter.
        for eps in [1e-3_f32, 100.0] {
            let dx = L2NormalizeBackward { eps }.reference(&[&x, &g]).remove(0);
            assert_gradient(&dx, &x, |x| dot(&L2Normalize { eps }.reference(&[x])[0], &g));
        }
    }

    #[test]
    fn upstream_is_of_the_shape_and_type_of_x() {
        for (upstream, wrong) in
            [(TensorDesc::f32([3]), ErrorKind::Shape), (TensorDesc::f16([2, 3]), ErrorKind::Dtype)]
        {
            let inputs = [TensorDesc::f32([2, 3]), upstream];
            let error = L2NormalizeBackward { eps: 1e-5 }.contract(&inputs).unwrap_err();
            assert_eq!((error.op(), error.kind(), error.argument()), (NAME, wrong, "upstream"));
        }
    }
}
