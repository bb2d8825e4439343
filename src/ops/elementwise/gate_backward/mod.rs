//! The backward pass of gated linear units (Shazeer, arXiv 2002.05202): of `y = f(a) * v`, `da = dy * v * f'(a)` and
//! `dv = dy * f(a)`, where `z` holds both factors one behind the other.

#[cfg(feature = "check")]
mod cases;

use super::super::Gate;
use super::super::contract::{Contract, to_u32};
use super::Activation;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "elementwise/gate_backward";

params! {
    /// Lengths in packs.
    struct GateParams {
        width: u32,
        activated: u32,
        other: u32,
        count: u32,
        workgroups: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct GateBackward {
    activation: Activation,
    gate: Gate,
}

/// The gradient of `z: [.., 2 width]`, two factors one behind the other, from `upstream: [.., width]`, that of their gated product:
/// of the half that `gate` names, `a`, and the other, `v`, the product is `f(a) * v`, where `f` is `activation`.
///
/// Both share one float type, and any axis may be empty. Fails when types or shapes do not fit.
pub fn gate_backward(
    graph: &mut Graph,
    z: Value,
    upstream: Value,
    gate: Gate,
    activation: Activation,
) -> Result<Value> {
    graph.push_builtin_one(GateBackward { activation, gate }, &[z, upstream])
}

impl GateBackward {
    /// Where the activated and the other factor, of `width`, start.
    fn starts<T: Default>(&self, width: T) -> (T, T) {
        match self.gate {
            Gate::First => (T::default(), width),
            Gate::Second => (width, T::default()),
        }
    }
}

impl Op for GateBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["z", "upstream"])?;
        let (z, upstream) = (&inputs[0], &inputs[1]);
        contract.float("z", z)?;
        contract.dtype("upstream", upstream, z.dtype)?;
        let mut expected = z.shape.dims().to_vec();
        match expected.last_mut() {
            Some(width) if width.is_multiple_of(2) => *width /= 2,
            _ => {
                return Err(contract
                    .shape_error("z")
                    .expecting("a last axis (2 width) that is even")
                    .but_found(&z.shape));
            }
        }
        if upstream.shape.dims() != expected {
            let expected = crate::Shape::from(expected);
            return Err(contract.shape_error("upstream").expecting(expected).but_found(&upstream.shape));
        }
        Ok(vec![z.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (z, upstream) = (inputs[0], inputs[1]);
        let width = z.dims()[z.dims().len() - 1] / 2;
        let (activated, other) = self.starts(width);
        let mut dz = vec![R::zero(); z.reals().len()];
        for (i, &dy) in upstream.reals().iter().enumerate() {
            let first = i / width * 2 * width + i % width;
            let (a, v) = (z.reals()[first + activated], z.reals()[first + other]);
            dz[first + activated] = dy * v * self.activation.slope_at(a);
            dz[first + other] = dy * self.activation.at(a);
        }
        vec![Array::real(z.shape().clone(), dz)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let upstream = &step.inputs[1];
        let width = upstream.shape.dims().last().copied().unwrap_or(1);
        let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
        let width = to_u32(NAME, "width", width)? / lanes;
        let count = to_u32(NAME, "elements", upstream.elements())? / lanes;
        let workgroups = count.div_ceil(caps.tuning.element_lanes);
        let (activated, other) = self.starts(width);
        // Function and slope may share files.
        let mut sources: Vec<Source> = vec![wgsl!("elementwise/gate_backward/gate_backward.wgsl")];
        for &source in self.activation.apply().iter().chain(self.activation.slope()) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        let shader = Shader::new(NAME, sources)
            .alias("Pack", upstream.dtype, lanes)
            .alias("Lanes", DType::F32, lanes)
            .constant("WORKGROUP", caps.tuning.element_lanes);
        Ok(Lowered::Kernels {
            choice: Choice {
                tier: Tier::Streaming,
                kernel: format!("{NAME} x{lanes}").into(),
                reason: super::binary::WIDTH_REASON[usize::from(lanes == 4)].into(),
            },
            dispatches: vec![Dispatch {
                shader,
                bindings: vec![
                    ("z", Operand::Input(0)),
                    ("upstream", Operand::Input(1)),
                    ("dz", Operand::Output(0)),
                ],
                params: GateParams { width, activated, other, count, workgroups }.into(),
                workgroups: workgroups.into(),
                turns: 0,
            }],
            scratch: Vec::new(),
        })
    }
}
