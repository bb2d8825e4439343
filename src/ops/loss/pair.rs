//! Contract, kernels and cases shared by losses that are a sum of terms of two values of one shape, over a number.

use super::check_upstream;
use super::total::{Divisor, total};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, StepDesc, Value};
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::ops::rows::{reason, with_reductions};
use crate::tensor::{DType, TensorDesc};

/// Packs that a lane adds up.
const PACKS: u32 = 32;

params! {
    struct PairParams {
        count: u32,
        workgroups: u32,
    }
}

params! {
    struct SlopeParams {
        count: u32,
        workgroups: u32,
        divisor: f32,
    }
}

/// Two floats of one type and shape, called `names`, and for a backward pass the gradient of their loss.
pub(super) fn check(
    contract: &Contract,
    inputs: &[TensorDesc],
    names: [&'static str; 2],
    backward: bool,
) -> Result<()> {
    if backward {
        contract.count(inputs, &[names[0], names[1], "upstream"])?;
        check_upstream(contract, &inputs[2])?;
    } else {
        contract.count(inputs, &names)?;
    }
    let (a, b) = (&inputs[0], &inputs[1]);
    contract.float(names[0], a)?;
    contract.dtype(names[1], b, a.dtype)?;
    if a.shape == b.shape {
        return Ok(());
    }
    Err(contract
        .shape_error(names[1])
        .expecting(format!("{} as of {}", a.shape, names[0]))
        .but_found(&b.shape))
}

/// The shader's files with lanes and packs of `a`, and how many packs it has.
fn shader(op: &'static str, mut sources: Vec<Source>, a: &TensorDesc) -> Result<(Shader, u32)> {
    let lanes: u32 = if a.elements().is_multiple_of(4) { 4 } else { 1 };
    sources.push(if lanes == 4 { wgsl!("lib/lanes_vec4.wgsl") } else { wgsl!("lib/lanes_scalar.wgsl") });
    let shader = Shader::new(op, sources).alias("Pack", a.dtype, lanes).alias("Lanes", DType::F32, lanes);
    Ok((shader, to_u32(op, "elements", a.elements())? / lanes))
}

/// The sum of `term` over all elements, over `divisor`.
pub(super) fn lower(
    op: &'static str,
    term: Source,
    divisor: usize,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let (shader, count) = shader(op, vec![wgsl!("loss/pair.wgsl"), term], &step.inputs[0])?;
    let chunk = PACKS * caps.tuning.row_lanes;
    let workgroups = count.div_ceil(chunk);
    let partials = Operand::Scratch(0);
    let terms = Dispatch {
        shader: with_reductions(shader, caps).constant("CHUNK", chunk),
        bindings: vec![("a", Operand::Input(0)), ("b", Operand::Input(1)), ("partials", partials)],
        params: PairParams { count, workgroups }.into(),
        workgroups: workgroups.into(),
        turns: 0,
    };
    let divisor = Divisor::Fixed(divisor.max(1) as f32);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{op}, {workgroups} partial sums").into(),
            reason: reason(caps).into(),
        },
        dispatches: vec![terms, total(op, (partials, workgroups), divisor, Operand::Output(0), caps)],
        scratch: vec![u64::from(workgroups.max(1)) * 4],
    })
}

/// The derivatives `slopes` of the terms with respect to both values, times upstream over `divisor`.
pub(super) fn lower_backward(
    op: &'static str,
    slopes: Source,
    divisor: usize,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Lowered> {
    let mut bindings =
        vec![("a", Operand::Input(0)), ("b", Operand::Input(1)), ("upstream", Operand::Input(2))];
    bindings.extend(step.wanted[0].then_some(("d_a", Operand::Output(0))));
    bindings.extend(step.wanted[1].then_some(("d_b", Operand::Output(1))));
    let d_a = if step.wanted[0] { wgsl!("loss/d_a_buffer.wgsl") } else { wgsl!("loss/d_a_none.wgsl") };
    let d_b = if step.wanted[1] { wgsl!("loss/d_b_buffer.wgsl") } else { wgsl!("loss/d_b_none.wgsl") };
    let sources = vec![wgsl!("loss/pair_backward.wgsl"), slopes, d_a, d_b];
    let (shader, count) = shader(op, sources, &step.inputs[0])?;
    let workgroups = count.div_ceil(caps.tuning.row_lanes);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{op}, an invocation a pack").into(),
            reason: "as many gradients as are wanted".into(),
        },
        dispatches: vec![Dispatch {
            shader: shader.constant("WORKGROUP", caps.tuning.row_lanes),
            bindings,
            params: SlopeParams { count, workgroups, divisor: divisor.max(1) as f32 }.into(),
            workgroups: workgroups.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}

/// The gradients of a loss of two values by its backward pass, as far as they are wanted.
pub(super) fn backward(
    graph: &mut Graph,
    adjoint: &Adjoint,
    op: impl FnOnce(&mut Graph, Value, Value, Value) -> Result<(Value, Value)>,
) -> Result<Vec<Gradient>> {
    let (&[a, b], Some(upstream)) = (adjoint.inputs(), adjoint.upstream(0)) else {
        return Ok(vec![Gradient::None; 2]);
    };
    let (d_a, d_b) = op(graph, a, b, upstream)?;
    let gradient = |i, d| if adjoint.wants(i) { Gradient::Whole(d) } else { Gradient::None };
    Ok(vec![gradient(0, d_a), gradient(1, d_b)])
}

#[cfg(feature = "check")]
pub(super) mod cases {
    use crate::Result;
    use crate::check::{Case, Problem};
    use crate::graph::Value;
    use crate::tensor::{DType, HostTensor, Shape};

    const SHAPES: [&[usize]; 9] =
        [&[1], &[2, 63], &[4, 64], &[65, 5], &[3, 4, 97], &[300, 257], &[2, 3, 1000], &[4, 4097], &[7, 1]];

    /// Cases for a loss of two values up to `amplitude`.
    pub(in crate::ops::loss) fn of(
        name: &'static str,
        amplitude: f32,
        op: fn(&mut Problem, Value, Value) -> Result<Value>,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        for (dtype, shape) in problems() {
            cases.push(Case::new(name, format!("{dtype} {}", Shape::from(shape)), move |problem| {
                let [a, b] = pair(problem, dtype, shape, amplitude)?;
                Ok(vec![op(problem, a, b)?])
            }));
        }
        cases
    }

    /// The same for its backward pass, which is asked for either gradient and for both.
    pub(in crate::ops::loss) fn of_backward(
        name: &'static str,
        amplitude: f32,
        op: impl Fn(&mut Problem, [Value; 3]) -> Result<(Value, Value)> + Copy + Send + Sync + 'static,
    ) -> Vec<Case> {
        let mut cases = Vec::new();
        for (i, (dtype, shape)) in problems().into_iter().enumerate() {
            let which = ["d_a", "d_b", "both"][i % 3];
            let label = format!("{dtype} {}, {which}", Shape::from(shape));
            cases.push(Case::new(name, label, move |problem| {
                let [a, b] = pair(problem, dtype, shape, amplitude)?;
                let upstream = problem.input("upstream", HostTensor::f32([1], vec![-1.5])?)?;
                let (d_a, d_b) = op(problem, [a, b, upstream])?;
                Ok(match which {
                    "d_a" => vec![d_a],
                    "d_b" => vec![d_b],
                    _ => vec![d_a, d_b],
                })
            }));
        }
        cases
    }

    fn problems() -> Vec<(DType, &'static [usize])> {
        let shapes = |dtype| SHAPES.map(|shape| (dtype, shape));
        // A loss of nothing stores no f16, whatever the type.
        let empty: [&[usize]; 3] = [&[0], &[3, 0], &[0, 5]];
        let empty = empty.map(|shape| (DType::F32, shape));
        shapes(DType::F32).into_iter().chain(shapes(DType::F16)).chain(empty).collect()
    }

    fn pair(problem: &mut Problem, dtype: DType, shape: &[usize], amplitude: f32) -> Result<[Value; 2]> {
        Ok([problem.random("a", dtype, shape, amplitude)?, problem.random("b", dtype, shape, amplitude)?])
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, random};
    use crate::tensor::Array;

    /// Holds `backward` to the differences of `forward`.
    pub(in crate::ops::loss) fn assert_slopes(forward: &impl Op, backward: &impl Op) {
        let (a, b, upstream) = (random([3, 5], 1), random([3, 5], 2), Array::real([1], vec![-1.5]));
        let d = backward.reference(&[&a, &b, &upstream]);
        assert_gradient(&d[0], &a, |a| -1.5 * forward.reference(&[a, &b])[0].reals()[0]);
        assert_gradient(&d[1], &b, |b| -1.5 * forward.reference(&[&a, b])[0].reals()[0]);
    }
}
