//! A graph under construction, with the values that further steps may use.

use std::collections::BTreeMap;
use std::fmt;

use foveate::check::Random;
use foveate::{DType, Graph, HostTensor, Result, TensorDesc, Value};

use super::instructions::{INSTRUCTIONS, Instruction};

/// Elements of the largest value.
const MOST_ELEMENTS: usize = 2048;

/// Values that may be larger are not recorded: products of products leave f32.
const LARGEST: f64 = 1e5;

/// A value that steps may read.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) value: Value,
    pub(crate) dims: Vec<usize>,
    pub(crate) dtype: DType,
    /// At most the magnitude of its elements, where that is known.
    pub(crate) largest: f64,
    pub(crate) name: String,
    pub(crate) is_parameter: bool,
    /// Whether a step made it.
    pub(crate) is_computed: bool,
}

impl Known {
    pub(crate) fn is_float(&self) -> bool {
        self.dtype == DType::F32
    }

    pub(crate) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }
}

pub(crate) struct Recorder {
    pub(crate) graph: Graph,
    pub(crate) pool: Vec<Known>,
    inputs: Vec<(String, HostTensor)>,
    parameters: Vec<(String, HostTensor)>,
    pub(crate) in_segment: bool,
    lines: Vec<String>,
    recorded: BTreeMap<&'static str, usize>,
    random: Random,
}

impl Recorder {
    /// The graph of `instructions`; those that find no value to read, or that an op refuses, are left out.
    pub(crate) fn record(instructions: &[Instruction]) -> Self {
        let mut recorder = Self {
            graph: Graph::new(),
            pool: Vec::new(),
            inputs: Vec::new(),
            parameters: Vec::new(),
            in_segment: false,
            lines: Vec::new(),
            recorded: BTreeMap::new(),
            random: Random::new(7),
        };
        recorder.parameter(&[8, 8]);
        recorder.parameter(&[6, 8]);
        recorder.input(&[1, 6, 2, 4]);
        recorder.input(&[6, 8]);
        recorder.run(instructions);
        if let Some(last) = recorder.pick(0, |known| known.is_computed) {
            recorder.output(&last);
        }
        recorder
    }

    fn run(&mut self, instructions: &[Instruction]) {
        let mut rest = instructions;
        while let Some((&Instruction { kind, picks }, behind)) = rest.split_first() {
            rest = behind;
            let (name, _, step) = INSTRUCTIONS[kind];
            let inside = rest.len().min(1 + picks[0] % 4);
            let is_recorded = match name {
                // The instructions behind it are the segment's.
                "segment" if self.in_segment => false,
                "segment" => {
                    let (segment, behind) = rest.split_at(inside);
                    rest = behind;
                    self.segment(segment)
                }
                // What an op refuses is not this test's business.
                _ => step(self, picks).is_ok_and(|recorded| recorded.is_some()),
            };
            if is_recorded {
                *self.recorded.entry(name).or_default() += 1;
            }
        }
    }

    fn segment(&mut self, instructions: &[Instruction]) -> bool {
        self.lines.push("segment {".into());
        self.in_segment = true;
        let mut graph = std::mem::take(&mut self.graph);
        let recorded = graph.checkpoint(|graph| {
            std::mem::swap(graph, &mut self.graph);
            self.run(instructions);
            std::mem::swap(graph, &mut self.graph);
            Ok(())
        });
        self.graph = graph;
        self.in_segment = false;
        self.lines.push("}".into());
        recorded.is_ok()
    }

    /// One of the values that `suits`, the latest for 0.
    pub(crate) fn pick(&self, number: usize, suits: impl Fn(&Known) -> bool) -> Option<Known> {
        let suiting: Vec<&Known> = self.pool.iter().rev().filter(|known| suits(known)).collect();
        suiting.get(number % suiting.len().max(1)).map(|&known| known.clone())
    }

    /// One of the float values.
    pub(crate) fn float(&self, number: usize) -> Option<Known> {
        self.pick(number, Known::is_float)
    }

    /// A new value, the result of `what`, unless it is too large to go on with.
    pub(crate) fn keep(&mut self, value: Value, what: &str, largest: f64) -> Result<Option<()>> {
        let desc = self.graph.desc(value)?.clone();
        let name = format!("v{}", self.pool.len());
        self.lines.push(format!("{name} {desc} = {what}"));
        let dims = desc.shape.dims().to_vec();
        if desc.elements() <= MOST_ELEMENTS && largest <= LARGEST {
            let (is_parameter, is_computed) = (false, true);
            self.pool.push(Known {
                value,
                dims,
                dtype: desc.dtype,
                largest,
                name,
                is_parameter,
                is_computed,
            });
        }
        Ok(Some(()))
    }

    pub(crate) fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    fn given(
        &mut self,
        value: Value,
        desc: &TensorDesc,
        name: String,
        largest: f64,
        is_parameter: bool,
    ) -> Known {
        self.lines.push(format!("{name} {desc}"));
        let (dims, dtype) = (desc.shape.dims().to_vec(), desc.dtype);
        let known = Known { value, dims, dtype, largest, name, is_parameter, is_computed: false };
        self.pool.push(known.clone());
        known
    }

    fn floats(&mut self, dims: &[usize]) -> HostTensor {
        let count: usize = dims.iter().product();
        let values = (0..count).map(|_| self.random.next_f32()).collect();
        HostTensor::f32(dims.to_vec(), values).unwrap()
    }

    /// An input of random floats.
    pub(crate) fn input(&mut self, dims: &[usize]) -> Known {
        let tensor = self.floats(dims);
        self.tensor(tensor, 1.0)
    }

    /// An input that holds `tensor`.
    pub(crate) fn tensor(&mut self, tensor: HostTensor, largest: f64) -> Known {
        let name = format!("x{}", self.inputs.len());
        let value = self.graph.input(&name, tensor.desc()).unwrap();
        let known = self.given(value, &tensor.desc(), name.clone(), largest, false);
        self.inputs.push((name, tensor));
        known
    }

    /// A parameter of random floats.
    pub(crate) fn parameter(&mut self, dims: &[usize]) -> Known {
        let (name, tensor) = (format!("p{}", self.parameters.len()), self.floats(dims));
        let value = self.graph.parameter(&name, tensor.desc()).unwrap();
        let known = self.given(value, &tensor.desc(), name.clone(), 1.0, true);
        self.parameters.push((name, tensor));
        known
    }

    pub(crate) fn output(&mut self, known: &Known) {
        let name = format!("y{}", self.graph.outputs().len());
        self.graph.output(&name, known.value).unwrap();
        self.lines.push(format!("{name} = output {}", known.name));
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn inputs(&self) -> Vec<(&str, &HostTensor)> {
        self.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
    }

    pub(crate) fn parameters(&self) -> Vec<(&str, &HostTensor)> {
        self.parameters.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
    }

    /// How often each instruction was recorded.
    pub(crate) fn recorded(&self) -> &BTreeMap<&'static str, usize> {
        &self.recorded
    }
}

/// The calls that record it.
impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
