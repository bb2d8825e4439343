//! The CPU reference: `y = f(x W^T + bias) + residual`, of a gated layer `f(gate) * value + residual`.

use super::LinearOp;
use crate::ops::elementwise::Gate;
use crate::tensor::{Array, Real, Strided};

/// The result, and the sums of product and bias it is made of.
pub(super) fn forward<R: Real>(op: &LinearOp, inputs: &[&Array<R>]) -> (Array<R>, Array<R>) {
    let (x, weight) = (inputs[0], inputs[1]);
    let [columns, inner] = [weight.dims()[0], weight.dims()[1]];
    let leading = &x.dims()[..x.dims().len() - 1];
    let rows: usize = leading.iter().product();
    let mut sums = vec![R::zero(); rows * columns];
    let x = Strided { slice: x.reals(), first: 0, strides: [inner, 1] };
    let transposed = Strided { slice: weight.reals(), first: 0, strides: [1, inner] };
    R::gemm(x, transposed, &mut sums, [rows, inner, columns]);

    if let Some(bias) = op.bias_index().map(|bias| inputs[bias].reals()) {
        for row in sums.chunks_mut(columns) {
            row.iter_mut().zip(bias).for_each(|(sum, &bias)| *sum += bias);
        }
    }
    let residual = op.residual_index().map(|residual| inputs[residual].reals());
    let out = if op.gate.is_some() { columns / 2 } else { columns };
    let mut y = Vec::with_capacity(rows * out);
    for (row, z) in sums.chunks(columns).enumerate() {
        for column in 0..out {
            let activated = match op.gate {
                None => op.activation.at(z[column]),
                Some(Gate::First) => op.activation.at(z[column]) * z[out + column],
                Some(Gate::Second) => z[column] * op.activation.at(z[out + column]),
            };
            y.push(activated + residual.map_or(R::zero(), |residual| residual[row * out + column]));
        }
    }
    let with = |last| leading.iter().copied().chain([last]).collect::<Vec<usize>>();
    (Array::real(with(out), y), Array::real(with(columns), sums))
}
