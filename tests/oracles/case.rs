//! A case of a safetensors file: inputs, outputs and gradients are found by the names that the file gives them.
//!
//! `spec.inputs` are float tensors with a gradient `d_<name>`. Every output of `spec.differentiated_outputs` has an upstream gradient `d_<name>`,
//! or is a scalar whose upstream gradient is 1; the loss is the sum of all products.

use foveate::{DType, HostTensor, Value, ops};

use crate::Result;
use crate::compare::{Bound, OF_LARGEST, Rows};
use crate::file::File;
use crate::recording::Recording;
use crate::report::Report;

/// How far below its own noise in f32 a tensor may be off that is 0 in theory.
const NOISES: f64 = 10.0;

/// A case whose graph is under way.
pub(crate) struct Case<'f> {
    pub(crate) file: &'f File,
    pub(crate) recording: Recording,
    /// Tensors of the file that are part of the graph.
    values: Vec<(String, Value)>,
    outputs: Vec<(String, Value)>,
    /// Those of `values` that have more axes in the graph than in the file.
    reshaped: Vec<(String, Value)>,
}

/// Records the mechanism of a case.
pub(crate) type Record = fn(&mut Case<'_>) -> Result<()>;

/// Records a case, runs it and compares everything that its file holds.
pub(crate) fn check(file: &File, record: Record) -> Result<Report> {
    let mut case = Case {
        file,
        recording: Recording::default(),
        values: Vec::new(),
        outputs: Vec::new(),
        reshaped: Vec::new(),
    };
    record(&mut case)?;
    case.expect_gradients()?;
    // Where a file lists none, its tensors are told apart by being read.
    let outputs = match file.spec.find("outputs") {
        Some(_) => file.spec.texts("outputs")?,
        None => Vec::new(),
    };
    for output in outputs {
        if case.outputs.iter().all(|(name, _)| name != output) {
            return Err(format!("this test does not compute output `{output}`").into());
        }
    }
    // What they name must be read, as every tensor must.
    file.spec.pass_over(&["constants", "integers"]);
    file.refuse_unread()?;
    case.recording.check()
}

impl Case<'_> {
    /// A tensor of the file.
    pub(crate) fn input(&mut self, name: &str) -> Result<Value> {
        let value = self.recording.input(name, self.file.tensors.get(name)?.clone())?;
        self.values.push((name.to_owned(), value));
        Ok(value)
    }

    /// Tensors of the file.
    pub(crate) fn inputs<const N: usize>(&mut self, names: [&str; N]) -> Result<[Value; N]> {
        let values = names.into_iter().map(|name| self.input(name)).collect::<Result<Vec<_>>>()?;
        Ok(values.try_into().expect("as many values as names"))
    }

    /// A tensor of the file as the weight that a layer declares under `parameter`.
    pub(crate) fn weight(&mut self, parameter: &str, name: &str) -> Result<()> {
        let value = self.recording.parameter(parameter, self.file.tensors.get(name)?.clone())?;
        self.values.push((name.to_owned(), value));
        Ok(())
    }

    /// [`Case::weight`] for a layer that declares more axes than the file has.
    pub(crate) fn weight_of_shape(&mut self, parameter: &str, name: &str, shape: Vec<usize>) -> Result<()> {
        let tensor = self.file.tensors.get(name)?;
        let tensor = HostTensor::f32(shape.clone(), tensor.to_f32())?;
        let declared = self.recording.parameter(parameter, tensor)?;
        self.reshaped.push((name.to_owned(), declared));
        Ok(())
    }

    /// A tensor that the file describes without holding it.
    pub(crate) fn made(&mut self, name: &str, tensor: HostTensor) -> Result<Value> {
        self.recording.input(name, tensor)
    }

    pub(crate) fn dims(&self, value: Value) -> Result<Vec<usize>> {
        Ok(self.recording.graph.desc(value)?.shape.dims().to_vec())
    }

    /// An output of the file's, of which all rows count.
    pub(crate) fn output(&mut self, name: &str, value: Value) -> Result<()> {
        self.output_rows(name, value, Rows::All)
    }

    pub(crate) fn output_rows(&mut self, name: &str, value: Value, rows: Rows) -> Result<()> {
        self.outputs.push((name.to_owned(), value));
        self.expect(name, name, value, rows)
    }

    /// A value that must be the file's output `name`, too; the gradients are not those of it.
    pub(crate) fn output_again(&mut self, label: &str, name: &str, value: Value) -> Result<()> {
        self.expect(label, name, value, Rows::All)
    }

    fn expect(&mut self, output: &str, name: &str, value: Value, rows: Rows) -> Result<()> {
        let tensor = self.file.tensors.get(name)?.clone();
        let largest = tensor.to_f64().into_iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let mut bound = Bound::of_largest(OF_LARGEST);
        bound.of_zero = self.file.noise(name)?.filter(|&noise| largest < noise).map(|noise| NOISES * noise);
        self.recording.expect(output, value, tensor, rows, bound)
    }

    /// Appends the gradients of the loss.
    fn expect_gradients(&mut self) -> Result<()> {
        let mut loss: Option<Value> = None;
        for name in self.file.spec.texts("differentiated_outputs")? {
            let output = self.outputs.iter().find(|(known, _)| known == name);
            let &(_, value) = output.ok_or_else(|| format!("this test does not compute output `{name}`"))?;
            let upstream = format!("d_{name}");
            let weighted = match self.file.tensors.find(&upstream) {
                Some(tensor) => {
                    let upstream = self.recording.input(&upstream, tensor.clone())?;
                    ops::multiply(&mut self.recording.graph, value, upstream)?
                }
                None => value,
            };
            let part = self.recording.total(weighted)?;
            loss = Some(match loss {
                Some(loss) => ops::add(&mut self.recording.graph, loss, part)?,
                None => part,
            });
        }
        let names = self.file.spec.texts("inputs")?;
        let Some(loss) = loss else {
            return if names.is_empty() { Ok(()) } else { Err("inputs without a loss".into()) };
        };
        let value_of = |name: &&str| {
            let value = self.values.iter().chain(&self.reshaped).find(|(known, _)| known == name);
            value.map(|(_, value)| *value).ok_or_else(|| format!("this test does not read input `{name}`"))
        };
        let wrt = names.iter().map(value_of).collect::<std::result::Result<Vec<_>, _>>()?;
        let gradients = self.recording.graph.gradients(loss, &wrt)?;
        for (name, gradient) in names.into_iter().zip(gradients) {
            debug_assert_eq!(self.recording.graph.desc(gradient)?.dtype, DType::F32);
            let is_reshaped = self.reshaped.iter().any(|(known, _)| known == name);
            let name = format!("d_{name}");
            let gradient = if is_reshaped {
                let shape = self.file.tensors.get(&name)?.shape().clone();
                ops::reshape(&mut self.recording.graph, gradient, shape)?
            } else {
                gradient
            };
            self.expect(&format!("gradient {name}"), &name, gradient, Rows::All)?;
        }
        Ok(())
    }
}
