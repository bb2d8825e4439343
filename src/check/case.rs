//! A case: a graph with its inputs, made on demand from a seed.

use std::fmt;

use crate::graph::{Graph, Value};
use crate::random::Random;
use crate::tensor::{DType, HostTensor, Shape, TensorDesc};
use crate::{Error, Result};

/// A graph under construction together with tensors for its inputs.
#[derive(Debug)]
pub struct Problem {
    /// The recording.
    pub graph: Graph,
    inputs: Vec<(String, HostTensor)>,
    random: Random,
}

impl Default for Problem {
    fn default() -> Self {
        Self { graph: Graph::new(), inputs: Vec::new(), random: Random::new(0) }
    }
}

impl Problem {
    /// An input of random elements, uniform in `[-amplitude, amplitude)`, rounded to `dtype`.
    pub fn random(
        &mut self,
        name: &str,
        dtype: DType,
        shape: impl Into<Shape>,
        amplitude: f32,
    ) -> Result<Value> {
        let shape = shape.into();
        let values: Vec<f32> = (0..shape.elements()).map(|_| amplitude * self.random.next_f32()).collect();
        self.input(name, HostTensor::from_f32(dtype, shape, &values)?)
    }

    /// An input of random elements, uniform in a range, rounded to `dtype`.
    pub fn random_within(
        &mut self,
        name: &str,
        dtype: DType,
        shape: impl Into<Shape>,
        range: std::ops::Range<f32>,
    ) -> Result<Value> {
        let (shape, middle) = (shape.into(), 0.5 * (range.start + range.end));
        let amplitude = range.end - middle;
        let values: Vec<f32> =
            (0..shape.elements()).map(|_| middle + amplitude * self.random.next_f32()).collect();
        self.input(name, HostTensor::from_f32(dtype, shape, &values)?)
    }

    /// An input of given elements.
    pub fn input(&mut self, name: &str, tensor: HostTensor) -> Result<Value> {
        let value = self.graph.input(name, tensor.desc())?;
        self.inputs.push((name.to_owned(), tensor));
        Ok(value)
    }

    /// Tensors by input name, as runs take them.
    pub fn inputs(&self) -> Vec<(&str, &HostTensor)> {
        self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
    }

    /// Descriptor of a value.
    pub fn desc(&self, value: Value) -> Result<&TensorDesc> {
        self.graph.desc(value)
    }
}

/// Appends to an empty problem and returns the values to compare.
type Build = dyn Fn(&mut Problem) -> Result<Vec<Value>> + Send + Sync;

/// A conformance case of one op.
pub struct Case {
    op: &'static str,
    label: String,
    builtin_ulps: f64,
    kinked: bool,
    without_gradients: bool,
    build: Box<Build>,
}

impl Case {
    /// A case of `op`. `build` appends to an empty problem and returns the values to compare.
    pub fn new(
        op: &'static str,
        label: impl Into<String>,
        build: impl Fn(&mut Problem) -> Result<Vec<Value>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            op,
            label: label.into(),
            builtin_ulps: 0.0,
            kinked: false,
            without_gradients: false,
            build: Box::new(build),
        }
    }

    /// Allows for the error WGSL grants built-in functions on the way to a result, in units of the last place of the largest
    /// result in f32 (WGSL specification, "Accuracy of Concrete Floating Point Expressions").
    #[must_use]
    pub fn builtin_ulps(self, builtin_ulps: f64) -> Self {
        Self { builtin_ulps, ..self }
    }

    /// An input of the case lies where the op has no derivative, so that no slope can be told from values around it.
    #[must_use]
    pub fn kinked(self) -> Self {
        Self { kinked: true, ..self }
    }

    /// Gradients of the case lie beyond the largest number of its element type, so that it has no gradient case.
    #[must_use]
    pub fn gradients_overflow(self) -> Self {
        Self { without_gradients: true, ..self }
    }

    /// Gradients of the case are sums of so many products that one f32 accumulator loses more than twice what the reference loses, which
    /// adds by blocks: it has no gradient case. Shorter ones hold the same kernels to their gradients.
    #[must_use]
    pub fn gradients_sum_far(self) -> Self {
        Self { without_gradients: true, ..self }
    }

    /// The op's name in the catalogue.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// What sets the case apart.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn allowed_ulps(&self) -> f64 {
        self.builtin_ulps
    }

    pub(super) fn is_without_gradients(&self) -> bool {
        self.without_gradients
    }

    pub(super) fn is_kinked(&self) -> bool {
        self.kinked
    }

    /// Appends the case to an empty problem; gives the values to compare.
    pub(super) fn build(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        (self.build)(problem)
    }

    /// The case's graph, its outputs named `0`, `1`, .., and its inputs.
    pub fn problem(&self) -> Result<Problem, Error> {
        let mut problem = Problem::default();
        let values = self.build(&mut problem)?;
        for (i, value) in values.into_iter().enumerate() {
            problem.graph.output(&i.to_string(), value)?;
        }
        Ok(problem)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.label)
    }
}
