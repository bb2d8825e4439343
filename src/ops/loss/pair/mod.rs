//! Losses that are a sum of terms of two values of one shape, over a number.
//!
//! | op | sum of | over | slopes |
//! |---|---|---|---|
//! | [`mean_squared_error()`] | `(a - b)^2` | elements | `2 (a - b)`, `2 (b - a)` |
//! | [`kl_divergence()`], `a = ln q`, `b = ln p` | `p (ln p - ln q)` | rows | `-p`, `p (ln p - ln q + 1)` |

mod backward;
#[cfg(feature = "check")]
mod cases;

use super::total::{Divisor, total};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{kl_divergence, mean_squared_error};

/// Packs that a lane adds up.
const PACKS: u32 = 32;

params! {
    struct PairParams {
        packs: u32,
    }
}

/// The mean of `(a - b)^2`, f32 of shape `[1]`, for values of one shape and type, f32 or f16; 0 where they have no elements.
/// Sums are f32 whatever the storage. Fails when shapes or types differ or are not floats.
pub fn mean_squared_error(graph: &mut Graph, a: Value, b: Value) -> Result<Value> {
    graph.push_builtin_one(PairLoss(Kind::MeanSquaredError), &[a, b])
}

/// Mean over rows of `sum p (ln p - ln q)`, f32 of shape `[1]`, for `student: [.., classes]`, `ln q`, and `target`, `ln p`, both
/// results of [`log_softmax`](crate::ops::log_softmax()), of one shape and type, f32 or f16; 0 where there are no rows.
///
/// This is the divergence of Kullback and Leibler (1951), what a student is distilled from a teacher by (Hinton et al., arXiv 1503.02531,
/// section 2): PyTorch's `kl_div(student, target, log_target=True, reduction="batchmean")` with every row an item of the batch. Sums
/// are f32 whatever the storage. Fails when shapes or types differ, are not floats, or scalars.
pub fn kl_divergence(graph: &mut Graph, student: Value, target: Value) -> Result<Value> {
    graph.push_builtin_one(PairLoss(Kind::KlDivergence), &[student, target])
}

/// Which of the losses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    MeanSquaredError,
    KlDivergence,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::MeanSquaredError => "loss/mean_squared_error",
            Self::KlDivergence => "loss/kl_divergence",
        }
    }

    /// What the two values are called.
    fn arguments(self) -> [&'static str; 2] {
        match self {
            Self::MeanSquaredError => ["a", "b"],
            Self::KlDivergence => ["student", "target"],
        }
    }

    /// The file of `term`, `slope_a` and `slope_b`.
    fn formulas(self) -> Source {
        match self {
            Self::MeanSquaredError => wgsl!("loss/pair/mean_squared_error.wgsl"),
            Self::KlDivergence => wgsl!("loss/pair/kl_divergence.wgsl"),
        }
    }

    fn term<R: Real>(self, a: R, b: R) -> R {
        match self {
            Self::MeanSquaredError => (a - b) * (a - b),
            Self::KlDivergence => b.exp() * (b - a),
        }
    }

    /// The derivatives of [`Kind::term`] with respect to `a` and `b`.
    fn slopes<R: Real>(self, a: R, b: R) -> [R; 2] {
        match self {
            Self::MeanSquaredError => [R::of(2.0) * (a - b), R::of(2.0) * (b - a)],
            Self::KlDivergence => [-b.exp(), b.exp() * (b - a + R::one())],
        }
    }

    /// What the sum of terms is divided by, at least 1.
    fn divisor(self, dims: &[usize]) -> usize {
        let over = match self {
            Self::MeanSquaredError => dims,
            Self::KlDivergence => &dims[..dims.len().saturating_sub(1)],
        };
        over.iter().product::<usize>().max(1)
    }

    /// Refuses anything but two floats of one type and shape, with rows where terms are summed by row.
    fn check(self, contract: &Contract, a: &TensorDesc, b: &TensorDesc) -> Result<()> {
        let [name_a, name_b] = self.arguments();
        contract.float(name_a, a)?;
        contract.same(name_b, b, name_a, a)?;
        if self == Self::KlDivergence && a.shape.rank() == 0 {
            return Err(contract.shape_error(name_a).expecting("at least one axis").but_found("a scalar"));
        }
        Ok(())
    }
}

/// Elements of a pack of a value, which is read without regard to its axes, and how many packs it has.
fn packs(op: &'static str, a: &TensorDesc) -> Result<(u32, u32)> {
    let lanes = if a.elements().is_multiple_of(4) { 4 } else { 1 };
    Ok((lanes, to_u32(op, "elements", a.elements())? / lanes))
}

#[derive(Clone, Copy, Debug)]
struct PairLoss(Kind);

impl Op for PairLoss {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &self.0.arguments())?;
        self.0.check(&contract, &inputs[0], &inputs[1])?;
        Ok(vec![TensorDesc::f32([1])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (a, b) = (inputs[0], inputs[1]);
        let sum: R = a.reals().iter().zip(b.reals()).map(|(&a, &b)| self.0.term(a, b)).sum();
        vec![Array::real([1], vec![sum / R::of(self.0.divisor(a.dims()) as f64)])]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (op, a) = (self.name(), &step.inputs[0]);
        let (lanes, packs) = packs(op, a)?;
        let chunk = PACKS * caps.tuning.row_lanes;
        let parts = packs.div_ceil(chunk);
        let partials = Operand::Scratch(0);
        let terms = Kernel::new(op, [wgsl!("loss/pair/forward.wgsl"), self.0.formulas()])
            .lanes(lanes)
            .constant("CHUNK", chunk)
            .read("a", Operand::Input(0), a.dtype)
            .read("b", Operand::Input(1), a.dtype)
            .write_elements("partials", partials, DType::F32)
            .params(PairParams { packs })
            .turns(PACKS.into())
            .per_row(parts, caps);
        let divisor = Divisor::Fixed(self.0.divisor(a.shape.dims()) as f32);
        let total = total(op, (partials, parts), divisor, Operand::Output(0), caps);
        let scratch = vec![u64::from(parts.max(1)) * 4];
        Ok(Lowered::rows(format!("{op}, {parts} partial sums"), vec![terms, total], scratch, caps))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (&[a, b], Some(upstream)) = (adjoint.inputs(), adjoint.upstream(0)) else {
            return Ok(vec![Gradient::None; 2]);
        };
        let gradients = backward::append(graph, self.0, [a, b, upstream])?;
        let wanted = |(i, d)| if adjoint.wants(i) { Gradient::Whole(d) } else { Gradient::None };
        Ok(gradients.into_iter().enumerate().map(wanted).collect())
    }
}
