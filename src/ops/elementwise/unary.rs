//! The op of a function of one number, and its gradient `dx = f'(x) dy`.

use super::super::contract::{Contract, to_u32};
use super::super::upstream;
use super::functions::Activation;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Generated, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

params! {
    /// The settings of a function.
    struct UnaryParams {
        first: f32,
        second: f32,
    }
}

/// Appends `function` of every element of `x`.
pub(super) fn apply(graph: &mut Graph, x: Value, function: Activation) -> Result<Value> {
    graph.push_builtin_one(Unary { function }, &[x])
}

/// `function` of every element of a float value of any shape; [`Activation::Identity`] is `x` itself.
///
/// Fails when `x` is no float, or a setting is not finite.
pub fn activate(graph: &mut Graph, x: Value, function: Activation) -> Result<Value> {
    if function == Activation::Identity { Ok(x) } else { apply(graph, x, function) }
}

/// `upstream f'(x)`, the gradient of `x` from that of `f(x)`, of one shape and float type.
pub(in crate::ops) fn gradient(
    graph: &mut Graph,
    x: Value,
    upstream: Value,
    function: Activation,
) -> Result<Value> {
    graph.push_builtin_one(UnaryBackward { function }, &[x, upstream])
}

#[derive(Clone, Copy, Debug)]
struct Unary {
    function: Activation,
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        self.function.op_name()
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(self.name());
        contract.count(inputs, &["x"])?;
        self.function.check(&contract)?;
        contract.float("x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].map(|x| self.function.at(x))]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let lanes = lanes(x);
        let count = to_u32(self.name(), "elements", x.elements())? / lanes;
        let kernel =
            Kernel::new(self.name(), [wgsl!("elementwise/unary.wgsl"), wgsl!("elementwise/math.wgsl")])
                .lanes(lanes)
                .read("x", Operand::Input(0), x.dtype)
                .write("result", Operand::Output(0), x.dtype)
                .params(self.function.params())
                .generated([self.function.apply()]);
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        upstream::to_input(adjoint, |upstream| match self.function {
            // Without x, whose memory may be free by then.
            Activation::Scale { .. } => apply(graph, upstream, self.function),
            function => gradient(graph, adjoint.inputs()[0], upstream, function),
        })
    }
}

const BACKWARD: &str = "elementwise/activation_backward";

#[derive(Clone, Copy, Debug)]
struct UnaryBackward {
    function: Activation,
}

impl Op for UnaryBackward {
    fn name(&self) -> &'static str {
        BACKWARD
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(BACKWARD);
        contract.count(inputs, &["x", "upstream"])?;
        let (x, upstream) = (&inputs[0], &inputs[1]);
        self.function.check(&contract)?;
        contract.float("x", x)?;
        contract.dtype("upstream", upstream, x.dtype)?;
        if upstream.shape != x.shape {
            return Err(contract.shape_error("upstream").expecting(&x.shape).but_found(&upstream.shape));
        }
        Ok(vec![x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, upstream) = (inputs[0], inputs[1]);
        let pairs = x.reals().iter().zip(upstream.reals());
        let dx = pairs.map(|(&x, &upstream)| upstream * self.function.slope_at(x)).collect();
        vec![Array::real(x.shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let lanes = lanes(x);
        let count = to_u32(BACKWARD, "elements", x.elements())? / lanes;
        let sources = [wgsl!("elementwise/unary_backward.wgsl"), wgsl!("elementwise/math.wgsl")];
        let kernel = Kernel::new(BACKWARD, sources)
            .lanes(lanes)
            .read("x", Operand::Input(0), x.dtype)
            .read("upstream", Operand::Input(1), x.dtype)
            .write("dx", Operand::Output(0), x.dtype)
            .params(self.function.params())
            .generated([self.function.slope()]);
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }
}

fn lanes(x: &TensorDesc) -> u32 {
    if x.elements().is_multiple_of(4) { 4 } else { 1 }
}

impl Activation {
    /// Refuses settings that mean nothing.
    pub(in crate::ops) fn check(self, contract: &Contract) -> Result<()> {
        for (name, value) in self.settings() {
            if !value.is_finite() {
                return Err(contract.argument_error(name).expecting("a finite number").but_found(value));
            }
        }
        match self {
            Self::Clamp { low, high } if low > high => Err(contract
                .argument_error("high")
                .expecting(format!("at least {low}, which is low"))
                .but_found(high)),
            _ => Ok(()),
        }
    }

    /// The settings as numbers of a kernel: functions that differ in them alone share one.
    fn params(self) -> UnaryParams {
        let settings: Vec<f32> = self.settings().into_iter().map(|(_, value)| value).collect();
        let setting = |i: usize| settings.get(i).copied().unwrap_or_default();
        UnaryParams { first: setting(0), second: setting(1) }
    }

    /// The WGSL function `apply(x: Lanes, args: vec2<f32>) -> Lanes`.
    fn apply(self) -> Generated {
        self.function("apply", self.wgsl()[0])
    }

    /// The WGSL function `slope`, the derivative, of the same arguments.
    fn slope(self) -> Generated {
        self.function("slope", self.wgsl()[1])
    }

    fn function(self, name: &str, expression: &str) -> Generated {
        Generated {
            label: self.op_name().into(),
            text: format!("fn {name}(x: Lanes, args: vec2<f32>) -> Lanes {{\n    return {expression};\n}}\n"),
            by_user: false,
        }
    }

    /// The WGSL functions `activate(x: Lanes) -> Lanes` and `activation_slope`, its derivative, with the settings in place, for kernels
    /// that apply a function on the way. They call `elementwise/math.wgsl`.
    pub(in crate::ops) fn activate(self) -> [Generated; 3] {
        let UnaryParams { first, second } = self.params();
        let calls = [("activate", "apply"), ("activation_slope", "slope")].map(|(name, function)| {
            format!(
                "fn {name}(x: Lanes) -> Lanes {{\n    return {function}(x, vec2<f32>({first:e}f, {second:e}f));\n}}\n"
            )
        });
        let label = format!("{}, as an activation", self.op_name());
        [self.apply(), self.slope(), Generated { label, text: calls.concat(), by_user: false }]
    }
}

/// Shapes, around 0, where the formula changes, the far ends: apart from each other, because the largest result of a case sets its scale.
#[cfg(feature = "check")]
pub(super) fn cases(function: Activation) -> Vec<crate::check::Case> {
    use crate::check::Case;
    use crate::tensor::{DType, HostTensor, Shape};

    let trials = function.trials();
    let shapes: [&'static [usize]; 8] = [&[], &[0], &[1], &[2, 2], &[63], &[65, 4], &[97, 3], &[1000, 257]];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let [low, high] = trials.within;
            cases.push(Case::new(
                function.op_name(),
                format!("{dtype} {}", Shape::from(shape)),
                move |problem| {
                    let x = problem.random_within("x", dtype, shape, low..high)?;
                    Ok(vec![apply(&mut problem.graph, x, function)?])
                },
            ));
        }
        let largest = if dtype == DType::F16 { 65_504.0 } else { f64::from(f32::MAX) };
        let places: [(&str, &[f32]); 4] = [
            ("around 0", &[-1e-2, -1e-3, -0.0, 0.0, 1e-3, 1e-2]),
            ("where the formula changes", trials.turns),
            ("far out", &[-6e4, -100.0, 100.0, 6e4]),
            ("beyond f16", &[-1e30, -1e10, 1e10, 1e30]),
        ];
        for (place, numbers) in places {
            let is_defined = |&&x: &&f32| {
                let (y, slope): (f64, f64) = (function.at(x.into()), function.slope_at(x.into()));
                // Half of it, as gradients are multiplied with something. What is smaller than normal numbers devices may flush.
                let holds =
                    |y: f64| y.abs() <= 0.5 * largest && (y == 0.0 || y.abs() >= f32::MIN_POSITIVE.into());
                f64::from(x.abs()) <= largest && x.abs() <= trials.reach && holds(y) && holds(slope)
            };
            let numbers: Vec<f32> = numbers.iter().filter(is_defined).copied().collect();
            if numbers.is_empty() {
                continue;
            }
            // Steps away from here leave where the function is defined, or bend too much to tell a slope from.
            let steep = numbers.iter().any(|&x| {
                let (beside, slope): (f64, f64) =
                    (function.at(f64::from(x) - 1e-3), function.slope_at(x.into()));
                beside.is_nan() || slope.abs() > 100.0
            });
            let case = Case::new(function.op_name(), format!("{dtype} {place}"), move |problem| {
                let x = problem.input("x", HostTensor::from_f32(dtype, [numbers.len()], &numbers)?)?;
                Ok(vec![apply(&mut problem.graph, x, function)?])
            });
            cases.push(if trials.kinked || steep { case.kinked() } else { case });
        }
    }
    cases.into_iter().map(|case| case.builtin_ulps(trials.ulps[0].max(trials.ulps[1] / 2.0))).collect()
}

/// Bytes are one read and one write of every element; with the gradient, a read and a write more, and one of what comes from above.
#[cfg(feature = "check")]
pub(super) fn benches(function: Activation) -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};
    use crate::tensor::DType;

    let [low, high] = function.trials().within;
    let name = function.op_name();
    vec![
        Bench::new(name, "1M f32", Work::Bytes(8 << 20), move |problem| {
            let x = problem.random_within("x", DType::F32, [1 << 20], low..high)?;
            Ok(vec![apply(&mut problem.graph, x, function)?])
        }),
        Bench::new(name, "1M f32, gradient", Work::Bytes(12 << 20), move |problem| {
            let x = problem.random_within("x", DType::F32, [1 << 20], low..high)?;
            let upstream = problem.random("upstream", DType::F32, [1 << 20], 1.0)?;
            Ok(vec![gradient(&mut problem.graph, x, upstream, function)?])
        }),
    ]
}
