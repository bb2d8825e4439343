//! Gated linear units (Shazeer, arXiv 2002.05202): `y = f(a) * v` of `z`, which holds both factors one behind the other, and their
//! gradient, `da = dy * v * f'(a)` and `dv = dy * f(a)`.

use super::super::contract::{Contract, to_u32};
use super::super::upstream;
use super::Activation;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, Source, params, wgsl};
use crate::tensor::{Array, Real, Shape, TensorDesc};

const NAME: &str = "elementwise/gate";
const BACKWARD: &str = "elementwise/gate_backward";

/// Which factor of a gated linear unit is activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gate {
    /// The first half: of a weight's rows, as in fused LLaMA and ModernBERT weights.
    First,
    /// The second half, as in `torch.nn.functional.glu`.
    Second,
}

impl Gate {
    /// Where the activated and the other factor, of `width`, start.
    fn starts<T: Default>(self, width: T) -> (T, T) {
        match self {
            Self::First => (T::default(), width),
            Self::Second => (width, T::default()),
        }
    }
}

params! {
    /// Lengths in packs; where each factor starts in a row of `z`.
    struct GateParams {
        width: u32,
        activated: u32,
        other: u32,
    }
}

/// The gated product `[.., width]` of `z: [.., 2 width]`, whose last axis holds two factors one behind the other: `f(a) * v`, where `a` is the half
/// that `gate` names, `v` the other half and `f` is `activation`. With a sigmoid that is GLU, with a silu SwiGLU, with a gelu GEGLU.
///
/// Any axis may be empty. Fails when `z` is no float, or its last axis is not even.
pub fn gated(graph: &mut Graph, z: Value, gate: Gate, activation: Activation) -> Result<Value> {
    graph.push_builtin_one(GateOp { activation, gate }, &[z])
}

/// The gradient of `z` from `upstream: [.., width]`, that of [`gated`].
pub(in crate::ops) fn gradient(
    graph: &mut Graph,
    z: Value,
    upstream: Value,
    gate: Gate,
    activation: Activation,
) -> Result<Value> {
    graph.push_builtin_one(GateBackward(GateOp { activation, gate }), &[z, upstream])
}

#[derive(Clone, Copy, Debug)]
struct GateOp {
    activation: Activation,
    gate: Gate,
}

/// Checks `z`, and gives the shape of the product.
fn product_shape(contract: &Contract, activation: Activation, z: &TensorDesc) -> Result<Shape> {
    activation.check(contract)?;
    contract.float("z", z)?;
    let mut dims = z.shape.dims().to_vec();
    match dims.last_mut() {
        Some(width) if width.is_multiple_of(2) => *width /= 2,
        _ => {
            return Err(contract
                .shape_error("z")
                .expecting("a last axis (2 width) that is even")
                .but_found(&z.shape));
        }
    }
    Ok(dims.into())
}

impl GateOp {
    /// The kernel of `sources`, the packs of the product, and elements of a pack; operands are still to be declared.
    fn kernel(&self, op: &'static str, source: Source, product: &TensorDesc) -> Result<(Kernel, u32, u32)> {
        let width = product.shape.dims().last().copied().unwrap_or(1);
        let lanes: u32 = if width.is_multiple_of(4) { 4 } else { 1 };
        let width = to_u32(op, "width", width)? / lanes;
        let (activated, other) = self.gate.starts(width);
        let kernel = Kernel::new(op, [source, wgsl!("elementwise/math.wgsl")])
            .lanes(lanes)
            .params(GateParams { width, activated, other })
            .generated(self.activation.activate());
        Ok((kernel, to_u32(op, "elements", product.elements())? / lanes, lanes))
    }
}

impl Op for GateOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["z"])?;
        Ok(vec![TensorDesc::new(inputs[0].dtype, product_shape(&contract, self.activation, &inputs[0])?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let z = inputs[0];
        let mut dims = z.dims().to_vec();
        let width = dims[dims.len() - 1] / 2;
        if let Some(last) = dims.last_mut() {
            *last = width;
        }
        let (activated, other) = self.gate.starts(width);
        let rows = z.reals().chunks_exact((2 * width).max(1));
        let product = |row: &[R], i: usize| self.activation.at(row[activated + i]) * row[other + i];
        let y = rows.flat_map(|row| (0..width).map(move |i| product(row, i)).collect::<Vec<R>>());
        vec![Array::real(dims, y.collect())]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (z, product) = (&step.inputs[0], &step.outputs[0]);
        let (kernel, count, lanes) = self.kernel(NAME, wgsl!("elementwise/gate.wgsl"), product)?;
        let kernel =
            kernel.read("z", Operand::Input(0), z.dtype).write("result", Operand::Output(0), z.dtype);
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| {
            gradient(graph, adjoint.inputs()[0], upstream, self.gate, self.activation)
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct GateBackward(GateOp);

impl Op for GateBackward {
    fn name(&self) -> &'static str {
        BACKWARD
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(BACKWARD);
        contract.count(inputs, &["z", "upstream"])?;
        let (z, upstream) = (&inputs[0], &inputs[1]);
        let expected = product_shape(&contract, self.0.activation, z)?;
        contract.dtype("upstream", upstream, z.dtype)?;
        if upstream.shape != expected {
            return Err(contract.shape_error("upstream").expecting(expected).but_found(&upstream.shape));
        }
        Ok(vec![z.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (z, upstream) = (inputs[0], inputs[1]);
        let width = z.dims()[z.dims().len() - 1] / 2;
        let (activated, other) = self.0.gate.starts(width);
        let mut dz = vec![R::zero(); z.reals().len()];
        for (i, &dy) in upstream.reals().iter().enumerate() {
            let first = i / width * 2 * width + i % width;
            let (a, v) = (z.reals()[first + activated], z.reals()[first + other]);
            dz[first + activated] = dy * v * self.0.activation.slope_at(a);
            dz[first + other] = dy * self.0.activation.at(a);
        }
        vec![Array::real(z.shape().clone(), dz)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (z, upstream) = (&step.inputs[0], &step.inputs[1]);
        let (kernel, count, lanes) =
            self.0.kernel(BACKWARD, wgsl!("elementwise/gate_backward.wgsl"), upstream)?;
        let kernel = kernel
            .read("z", Operand::Input(0), z.dtype)
            .read("upstream", Operand::Input(1), z.dtype)
            .write("dz", Operand::Output(0), z.dtype);
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }
}

/// The usual activations, both gates, vector and scalar widths, empty axes, factors far out.
#[cfg(feature = "check")]
pub(in crate::ops) fn cases() -> Vec<crate::check::Case> {
    use crate::check::{Case, DIVISION_ULPS, exp_ulps};
    use crate::tensor::{DType, HostTensor};
    use Activation::{Gelu, GeluTanh, Identity, Relu, Sigmoid, Silu, Tanh};

    let shapes: [(&'static [usize], usize); 6] =
        [(&[], 1), (&[5], 63), (&[2, 3], 64), (&[9], 4), (&[3], 0), (&[0, 2], 3)];
    let mut cases = Vec::new();
    for activation in [Identity, Gelu, GeluTanh, Relu, Sigmoid, Silu, Tanh, Activation::Elu { alpha: 1.5 }] {
        let trials = activation.trials();
        // The function itself is a result of the gradient too.
        let ulps = trials.ulps[0].max(trials.ulps[1] / 2.0).max(exp_ulps(1.2) + DIVISION_ULPS);
        for gate in [Gate::First, Gate::Second] {
            for dtype in [DType::F32, DType::F16] {
                // Every shape for one activation: where factors lie does not depend on it.
                let shapes = if activation == Silu { &shapes[..] } else { &shapes[1..3] };
                for &(leading, width) in shapes {
                    let shape = [leading, &[2 * width]].concat();
                    let label = format!("{activation:?} {gate:?} {dtype} {}", Shape::from(&shape[..]));
                    cases.push(Case::new(NAME, label, move |problem| {
                        let z = problem.random("z", dtype, shape.clone(), 4.0)?;
                        Ok(vec![gated(&mut problem.graph, z, gate, activation)?])
                    }));
                }
            }
            cases.push(Case::new(NAME, format!("{activation:?} {gate:?} beyond f16"), move |problem| {
                let z = [1e18, -1e18, 2.0, -1e15, 3.0, -2.0, 1e18, 0.5];
                let z = problem.input("z", HostTensor::f32([2, 4], z.to_vec())?)?;
                Ok(vec![gated(&mut problem.graph, z, gate, activation)?])
            }));
        }
        cases = cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect();
    }
    cases
}

/// Bytes are one read of every factor's element and one write of the product's; with the gradient, one read of every element of both
/// operands and one write of every factor's.
#[cfg(feature = "check")]
pub(in crate::ops) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};
    use crate::tensor::DType;

    vec![
        Bench::new(NAME, "1M f32 a factor, Silu", Work::Bytes(12 << 20), |problem| {
            let z = problem.random("z", DType::F32, [1024, 2048], 1.0)?;
            Ok(vec![gated(&mut problem.graph, z, Gate::First, Activation::Silu)?])
        }),
        Bench::new(NAME, "1M f32 a factor, Silu, gradient", Work::Bytes(20 << 20), |problem| {
            let z = problem.random("z", DType::F32, [1024, 2048], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [1024, 1024], 1.0)?;
            Ok(vec![gradient(&mut problem.graph, z, upstream, Gate::First, Activation::Silu)?])
        }),
    ]
}
