//! The CPU reference: `y = f(x W^T + bias) + residual`, of a gated layer `f(gate) * value + residual`.

use super::{Gate, LinearOp};
use crate::tensor::{Array, Real, Strided};

pub(super) fn forward<R: Real>(op: &LinearOp, inputs: &[&Array<R>]) -> Array<R> {
    let (x, weight) = (inputs[0], inputs[1]);
    let [columns, inner] = [weight.dims()[0], weight.dims()[1]];
    let leading = &x.dims()[..x.dims().len() - 1];
    let rows: usize = leading.iter().product();
    let mut sums = vec![R::zero(); rows * columns];
    let x = Strided { slice: x.reals(), first: 0, strides: [inner, 1] };
    let transposed = Strided { slice: weight.reals(), first: 0, strides: [1, inner] };
    R::gemm(x, transposed, &mut sums, [rows, inner, columns]);

    let bias = op.bias_index().map(|bias| inputs[bias].reals());
    let residual = op.residual_index().map(|residual| inputs[residual].reals());
    let out = if op.gate.is_some() { columns / 2 } else { columns };
    let mut y = Vec::with_capacity(rows * out);
    for (row, sums) in sums.chunks(columns).enumerate() {
        let biased = |column: usize| sums[column] + bias.map_or(R::zero(), |bias| bias[column]);
        for column in 0..out {
            let activated = match op.gate {
                None => op.activation.at(biased(column)),
                Some(Gate::First) => op.activation.at(biased(column)) * biased(out + column),
                Some(Gate::Second) => biased(column) * op.activation.at(biased(out + column)),
            };
            y.push(activated + residual.map_or(R::zero(), |residual| residual[row * out + column]));
        }
    }
    let dims: Vec<usize> = leading.iter().copied().chain([out]).collect();
    Array::real(dims, y)
}
