//! Sparsemax and 1.5-entmax along the last axis: like softmax, numbers of at least 0 that sum to 1, but exactly 0 for elements that lie far
//! below the largest (Martins and Astudillo, arXiv 1602.02068; Peters, Niculae and Martins, 1905.05702).
//!
//! | op | result, with the `t` for which a row sums to 1 | gradient, from the result, over elements that are not 0 |
//! |---|---|---|
//! | [`sparsemax()`] | `y_i = max(x_i - t, 0)` | `dx_i = dy_i - sum_j dy_j / count` |
//! | [`entmax15()`] | `y_i = max(x_i / 2 - t, 0)^2` | `dx_i = g_i (dy_i - sum_j g_j dy_j / sum_j g_j)`, `g = sqrt(y)` |
//!
//! `t` is the root of a convex function that falls, which Newton's method approaches from below, without sorting: in every step the product
//! of the function and its slope shrinks to a quarter or less, so that `log2(width)` steps and a constant suffice. The row's largest element
//! is subtracted first, so that `t` lies between -1 and 0. Elements of minus infinity weigh nothing; a row with NaN or infinity, or of minus
//! infinity alone, is NaN.

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::contract::Contract;
use super::rows::{self, Rows};
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{one_and_a_half, sparse};

params! {
    /// `width` is in packs, `steps` are Newton's.
    struct EntmaxParams {
        width: u32,
        steps: u32,
    }
}

/// The alpha of alpha-entmax: 2 and 1.5.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Sparsemax,
    Entmax15,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Sparsemax => "sparsemax",
            Self::Entmax15 => "entmax15",
        }
    }

    /// The scaled distance `x - largest` of which the threshold is taken.
    fn scaled<R: Real>(self, distance: R) -> R {
        match self {
            Self::Sparsemax => distance,
            Self::Entmax15 => distance * R::of(0.5),
        }
    }

    /// The result for what lies `above` the threshold.
    fn power<R: Real>(self, above: R) -> R {
        match self {
            Self::Sparsemax => above,
            Self::Entmax15 => above * above,
        }
    }

    /// Minus the slope of [`Form::power`] along the threshold, where `above` is more than 0.
    fn slope<R: Real>(self, above: R) -> R {
        match self {
            Self::Sparsemax => R::one(),
            Self::Entmax15 => above + above,
        }
    }
}

/// Sparsemax of `x: [.., width]` along its last axis: the point of the probability simplex that lies nearest to a row. Sums are f32
/// whatever the storage. Fails when `x` is a scalar or not a float.
///
/// Source: arXiv 1602.02068, equations 2 to 4; its gradient, equation 14.
pub fn sparsemax(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Entmax(Form::Sparsemax), &[x])
}

/// 1.5-entmax of `x: [.., width]` along its last axis, half-way between softmax and [`sparsemax()`]. Sums are f32 whatever the storage.
/// Fails when `x` is a scalar or not a float.
///
/// Source: arXiv 1905.05702, equation 10 with alpha = 1.5; its gradient, proposition 2.
pub fn entmax15(graph: &mut Graph, x: Value) -> Result<Value> {
    graph.push_builtin_one(Entmax(Form::Entmax15), &[x])
}

#[derive(Clone, Copy, Debug)]
struct Entmax(Form);

/// Steps of Newton's method that rows of `width` elements take at most. The product of function and slope begins with `2 width^2` at most,
/// and a threshold is exact in f32 where it is 2^-24.
fn most_steps(width: usize) -> u32 {
    14 + width.max(1).ilog2()
}

impl Op for Entmax {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &["x"])?;
        rows::check(&contract, "x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, form) = (inputs[0], self.0);
        let mut y = Vec::with_capacity(x.reals().len());
        for row in rows::slices(x) {
            if row.iter().any(|x| x.is_nan() || *x == R::infinity())
                || row.iter().all(|&x| x == R::neg_infinity())
            {
                y.extend(row.iter().map(|_| R::nan()));
                continue;
            }
            let largest = row.iter().copied().fold(row[0], R::max);
            let scaled: Vec<R> = row.iter().map(|&x| form.scaled(x - largest)).collect();
            let mut threshold = -R::one();
            loop {
                let above = || scaled.iter().map(|&x| x - threshold).filter(|&above| above > R::zero());
                let excess = above().map(|above| form.power(above)).sum::<R>() - R::one();
                let next = threshold + excess / above().map(|above| form.slope(above)).sum();
                let is_found = next <= threshold;
                threshold = next;
                if is_found {
                    break;
                }
            }
            y.extend(scaled.iter().map(|&x| form.power((x - threshold).max(R::zero()))));
        }
        vec![Array::real(x.shape().clone(), y)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, name) = (&step.inputs[0], self.name());
        let rows = Rows::of(name, x)?;
        let steps = most_steps(rows.width as usize * rows.lanes as usize);
        let dispatch = Kernel::new(name, [wgsl!("entmax/entmax.wgsl")])
            .lanes(rows.lanes)
            .alias("Bits", DType::U32)
            .constant("SQUARED", self.0 == Form::Entmax15)
            .read("x", Operand::Input(0), x.dtype)
            .write("result", Operand::Output(0), x.dtype)
            .params(EntmaxParams { width: rows.width, steps })
            .walks(rows.width, 2 + steps)
            .reductions(2 + 2 * u64::from(steps))
            .per_row(rows.rows, caps);
        let kernel = format!("{name} x{}, a workgroup a row", rows.lanes);
        Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            backward::append(graph, self.0, adjoint.outputs()[0], upstream)
        })
    }
}
