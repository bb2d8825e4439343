//! Feature maps that users write: WGSL for devices, a reference in Rust for CPUs, and the derivatives of both.

use std::fmt;
use std::sync::Arc;

use super::NAME;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Generated, Kernel, Lowered, Operand, Signature, WgslType, wgsl};
use crate::ops::attention::rules::check_user_functions;
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const OP: &str = "attention/linear_feature";
const BACKWARD: &str = "attention/linear_feature_backward";

const OF_A_NUMBER: Signature = Signature { arguments: &[("x", WgslType::F32)], result: WgslType::F32 };

type Function = dyn Fn(f64) -> f64 + Send + Sync;

/// A feature map of your own: a WGSL function of each channel
///
/// ```wgsl
/// fn name(x: f32) -> f32
/// ```
///
/// and its reference, the same function in Rust. `check::compare_custom_feature` tells whether the two agree.
#[derive(Clone)]
pub struct CustomFeature {
    name: String,
    wgsl: String,
    reference: Arc<Function>,
    slope: Option<Arc<Function>>,
    is_never_negative: bool,
}

impl CustomFeature {
    /// The map whose WGSL function is called `name`. `wgsl` may hold further functions, constants and types under names that begin with
    /// `name`, within the bounds of [`CustomMask::new`](crate::ops::attention::CustomMask::new). Gradients through it are refused until it
    /// has a slope.
    ///
    /// Fails with [`ErrorKind::Argument`] when `name` is no identifier, and with [`ErrorKind::Shader`], naming the line of `wgsl`, when that
    /// does not compile or the function is missing or has another signature.
    pub fn new(
        name: &str,
        wgsl: impl Into<String>,
        reference: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Result<Self> {
        let wgsl = wgsl.into();
        check(name, &wgsl, name.to_owned())?;
        let reference = Arc::new(reference);
        Ok(Self { name: name.to_owned(), wgsl, reference, slope: None, is_never_negative: false })
    }

    /// States that the WGSL has a second function, `name_slope`, of the same argument: the derivative. `reference` is the same in Rust.
    ///
    /// Fails as [`CustomFeature::new`] does when the WGSL has no such function.
    pub fn with_slope(self, reference: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Result<Self> {
        check(&self.name, &self.wgsl, format!("{}_slope", self.name))?;
        Ok(Self { slope: Some(Arc::new(reference)), ..self })
    }

    /// States that no value of it is below 0, so that sums of scores may be divided by.
    #[must_use]
    pub fn never_negative(self) -> Self {
        Self { is_never_negative: true, ..self }
    }

    pub(super) fn is_never_negative(&self) -> bool {
        self.is_never_negative
    }

    /// Appends the map of every element of `x`.
    pub(super) fn append(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        graph.push_builtin_one(Feature(self.clone()), &[x])
    }

    fn part(&self) -> Generated {
        Generated { label: self.label(), text: self.wgsl.clone(), by_user: true }
    }

    pub(super) fn label(&self) -> String {
        format!("feature map `{}`", self.name)
    }

    /// The WGSL function `called(x: Lanes) -> Lanes` that applies `function`, one of the user's.
    fn call(called: &str, function: &str, lanes: u32) -> Generated {
        let value = match lanes {
            4 => format!("vec4({function}(x.x), {function}(x.y), {function}(x.z), {function}(x.w))"),
            _ => format!("{function}(x)"),
        };
        let text = format!("fn {called}(x: Lanes) -> Lanes {{\n    return {value};\n}}\n");
        Generated { label: "(a feature map of packs)".into(), text, by_user: false }
    }
}

fn check(name: &str, wgsl: &str, function: String) -> Result<()> {
    check_user_functions(NAME, "feature map", name, wgsl, [(function, OF_A_NUMBER)])
}

impl fmt::Debug for CustomFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomFeature({})", self.name)
    }
}

/// Clones of one map are equal, as long as neither is given another slope or called never negative.
impl PartialEq for CustomFeature {
    fn eq(&self, other: &Self) -> bool {
        let slopes = match (&self.slope, &other.slope) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        Arc::ptr_eq(&self.reference, &other.reference)
            && slopes
            && self.is_never_negative == other.is_never_negative
    }
}

#[derive(Clone, Debug)]
struct Feature(CustomFeature);

fn lanes(x: &TensorDesc) -> u32 {
    if x.elements().is_multiple_of(4) { 4 } else { 1 }
}

impl Op for Feature {
    fn name(&self) -> &'static str {
        OP
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(OP);
        contract.count(inputs, &["x"])?;
        contract.float("x", &inputs[0])?;
        Ok(inputs.to_vec())
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].map(|x| R::of((self.0.reference)(x.get())))]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let lanes = lanes(x);
        let kernel = Kernel::new(OP, [wgsl!("attention/linear/features.wgsl")])
            .lanes(lanes)
            .read("x", Operand::Input(0), x.dtype)
            .write("features", Operand::Output(0), x.dtype)
            .generated([self.0.part(), CustomFeature::call("feature", &self.0.name, lanes)]);
        let count = to_u32(OP, "x", x.elements())? / lanes;
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        if self.0.slope.is_none() {
            return Err(Error::new(ErrorKind::NotDifferentiable, NAME, self.0.label())
                .expecting("a map with a slope")
                .but_found("one without"));
        }
        crate::ops::upstream::to_input(adjoint, |upstream| {
            graph.push_builtin_one(FeatureBackward(self.0.clone()), &[adjoint.inputs()[0], upstream])
        })
    }
}

/// `dx = f'(x) upstream`
#[derive(Clone, Debug)]
struct FeatureBackward(CustomFeature);

impl Op for FeatureBackward {
    fn name(&self) -> &'static str {
        BACKWARD
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(BACKWARD);
        contract.count(inputs, &["x", "upstream"])?;
        contract.float("x", &inputs[0])?;
        contract.same("upstream", &inputs[1], "x", &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let slope = |x: R| self.0.slope.as_ref().map_or(R::zero(), |slope| R::of(slope(x.get())));
        let pairs = inputs[0].reals().iter().zip(inputs[1].reals());
        let dx = pairs.map(|(&x, &upstream)| upstream * slope(x)).collect();
        vec![Array::real(inputs[0].shape().clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let x = &step.inputs[0];
        let lanes = lanes(x);
        let slope = CustomFeature::call("slope", &format!("{}_slope", self.0.name), lanes);
        let kernel = Kernel::new(BACKWARD, [wgsl!("attention/linear/features_backward.wgsl")])
            .lanes(lanes)
            .read("x", Operand::Input(0), x.dtype)
            .read("upstream", Operand::Input(1), x.dtype)
            .write("dx", Operand::Output(0), x.dtype)
            .generated([self.0.part(), slope]);
        let count = to_u32(BACKWARD, "x", x.elements())? / lanes;
        Ok(Lowered::elementwise(kernel.per_element(count, caps), lanes))
    }
}
