//! The length of all gradients as one vector, and what to multiply them with so that it stays within a bound (Pascanu et al., arXiv
//! 1211.5063, algorithm 1; in the form of `torch.nn.utils.clip_grad_norm_`).

use super::check_setting;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "optimizer/global_norm";

/// Packs that an invocation adds up.
const SHARE: u32 = 64;

params! {
    /// `count` in packs.
    struct SquaresParams {
        count: u32,
        first_partial: u32,
    }
}

params! {
    struct FactorParams {
        partials: u32,
        max_norm: f32,
        epsilon: f32,
    }
}

/// Keeps the quotient finite where the norm is 0.
const EPSILON: f32 = 1e-6;

/// Settings of [`global_norm`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GlobalNorm {
    /// The largest norm that gradients may have; any when absent.
    pub max_norm: Option<f32>,
}

/// The Euclidean norm of all `gradients` together over `scale`, and the factor that undoes `scale` and keeps the norm within
/// [`GlobalNorm::max_norm`]: both f32 `[1]`.
///
/// `gradients` are f32 of any shapes, of a loss that was multiplied with `scale: f32 [1]`, above 0, so that small ones do not vanish
/// in f16. Where a gradient overflowed, or the sum of squares does, the factor is 0 and the norm is -1: the step is to be skipped.
pub fn global_norm(
    graph: &mut Graph,
    gradients: &[Value],
    scale: Value,
    settings: &GlobalNorm,
) -> Result<(Value, Value)> {
    let inputs: Vec<Value> = [scale].iter().chain(gradients).copied().collect();
    let outputs = graph.push_builtin(*settings, &inputs)?;
    Ok((outputs[0], outputs[1]))
}

impl Op for GlobalNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if let Some(max_norm) = self.max_norm {
            check_setting(NAME, "max_norm", max_norm, f32::MIN_POSITIVE, f32::MAX)?;
        }
        let contract = Contract::new(NAME);
        if inputs.len() < 2 {
            return Err(contract.argument_error("gradients").expecting("at least one").but_found("none"));
        }
        let scalar = TensorDesc::f32([1]);
        if inputs[0] != scalar {
            return Err(contract.shape_error("scale").expecting(scalar).but_found(&inputs[0]));
        }
        for (i, gradient) in inputs[1..].iter().enumerate() {
            contract.dtype(format!("gradient {i}"), gradient, DType::F32)?;
        }
        Ok(vec![scalar; 2])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let squares: R = inputs[1..].iter().flat_map(|gradient| gradient.reals()).map(|&g| g * g).sum();
        let scale = inputs[0].reals()[0];
        let (norm, factor) = if squares.is_finite() {
            let norm = squares.sqrt() / scale;
            let clip = self
                .max_norm
                .map_or(R::one(), |most| (R::of(most.into()) / (norm + R::of(EPSILON.into()))).min(R::one()));
            (norm, clip / scale)
        } else {
            (-R::one(), R::zero())
        };
        vec![Array::real([1], vec![norm]), Array::real([1], vec![factor])]
    }

    /// A dispatch for each gradient leaves partial sums of squares behind those of the gradients before it, and one workgroup adds them
    /// all in order.
    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let mut partials = 0;
        let mut dispatches = Vec::with_capacity(step.inputs.len());
        for (i, gradient) in step.inputs.iter().enumerate().skip(1) {
            let dispatch = squares(i, gradient, partials, caps)?;
            partials += dispatch.workgroups * u64::from(caps.tuning.row_lanes);
            dispatches.push(dispatch);
        }
        let count = to_u32(NAME, "partial sums", partials as usize)?;
        let max_norm = self.max_norm.unwrap_or(f32::MAX);
        let factor =
            Kernel::new("optimizer/global_norm/factor", [wgsl!("optimizer/global_norm/factor.wgsl")])
                .constant("CLIPS", self.max_norm.is_some())
                .read("partials", Operand::Scratch(0), DType::F32)
                .read("scale", Operand::Input(0), DType::F32)
                .write("norm", Operand::Output(0), DType::F32)
                .write("factor", Operand::Output(1), DType::F32)
                .params(FactorParams { partials: count, max_norm, epsilon: EPSILON })
                .walks(count, 1)
                .per_row(1, caps);
        dispatches.push(factor);
        // A binding is never empty.
        let scratch = vec![partials.max(1) * size_of::<f32>() as u64];
        let reason = "partial sums are added in an order of their own";
        Ok(Lowered::streaming("squares, then one workgroup", reason, dispatches, scratch))
    }
}

/// The partial sums of gradient number `input`, one for each lane of each workgroup.
fn squares(input: usize, gradient: &TensorDesc, first_partial: u64, caps: &Caps) -> Result<Dispatch> {
    let lanes = if gradient.elements().is_multiple_of(4) { 4 } else { 1 };
    let count = to_u32(NAME, "elements", gradient.elements())? / lanes;
    let first_partial = to_u32(NAME, "partial sums", first_partial as usize)?;
    Ok(Kernel::new("optimizer/global_norm/squares", [wgsl!("optimizer/global_norm/squares.wgsl")])
        .constant("SHARE", SHARE)
        .lanes(lanes)
        .read("gradient", Operand::Input(input), DType::F32)
        .write_elements("partials", Operand::Scratch(0), DType::F32)
        .params(SquaresParams { count, first_partial })
        .per_row(count.div_ceil(SHARE * caps.tuning.row_lanes), caps))
}

/// Conformance cases: one gradient and several, clipped and not, sums longer than a workgroup's share, nothing at all.
#[cfg(feature = "check")]
mod cases {
    use super::{GlobalNorm, NAME, global_norm};
    use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
    use crate::tensor::{DType, HostTensor};

    pub(crate) fn cases() -> Vec<Case> {
        let shapes: [&'static [&'static [usize]]; 5] = [
            &[&[1]],
            &[&[63], &[65, 4], &[97, 3]],
            &[&[0]],
            &[&[1000, 257]],
            &[&[0], &[4], &[64, 64], &[1], &[5, 7]],
        ];
        let mut cases = Vec::new();
        for shapes in shapes {
            for max_norm in [None, Some(0.5), Some(1e6)] {
                for scale in [1.0, 1024.0] {
                    let label = format!("{shapes:?}, at most {max_norm:?}, scale {scale}");
                    let build = move |problem: &mut crate::check::Problem| {
                        let mut gradients = Vec::new();
                        for (i, &shape) in shapes.iter().enumerate() {
                            gradients.push(problem.random(
                                &format!("gradient {i}"),
                                DType::F32,
                                shape,
                                scale,
                            )?);
                        }
                        let scale = problem.input("scale", HostTensor::f32([1], vec![scale])?)?;
                        let settings = GlobalNorm { max_norm };
                        let (norm, factor) = global_norm(&mut problem.graph, &gradients, scale, &settings)?;
                        Ok(vec![norm, factor])
                    };
                    cases.push(Case::new(NAME, label, build).builtin_ulps(SQRT_ULPS + 2.0 * DIVISION_ULPS));
                }
            }
        }
        cases
    }

    /// One read of every element.
    pub(crate) fn benches() -> Vec<Bench> {
        vec![Bench::new(NAME, "1M f32", Work::Bytes(4 << 20), |problem| {
            let scale = problem.random("scale", DType::F32, [1], 1.0)?;
            let gradient = problem.random("gradient", DType::F32, [1 << 20], 1.0)?;
            Ok(vec![global_norm(&mut problem.graph, &[gradient], scale, &GlobalNorm::default())?.0])
        })]
    }
}
