//! What `foveate inspect` tells of a folder, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use foveate::models::{BatchSize, Model};
use foveate::nn::LayoutKind;
use foveate::weights::{Checkpoint, Comparison};
use foveate::{Caps, DType, Plan, Result, TensorDesc};
use serde::Serialize;

use crate::args::{InspectArgs, TaskName};
use crate::output;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) model: String,
    pub(super) task: &'static str,
    /// What the folder can be used for.
    pub(super) tasks: Vec<&'static str>,
    pub(super) architecture: Architecture,
    pub(super) pooling: Option<String>,
    pub(super) weights: Needed,
    pub(super) file: Option<Stored>,
    /// As f32 and as f16; nothing of models that read no packed batches, and of those that are too large to be planned.
    pub(super) memory: Vec<BatchMemory>,
    pub(super) tokenizer: Option<Words>,
    pub(super) complete: bool,
    pub(super) differences: Option<Differences>,
    /// What is missing or damaged beside weights that do not fit.
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Architecture {
    pub(super) name: &'static str,
    pub(super) layers: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) vocab_size: usize,
    pub(super) max_tokens: usize,
}

/// What the architecture needs, each shared tensor once.
#[derive(Debug, Serialize)]
pub(super) struct Needed {
    pub(super) tensors: usize,
    pub(super) parameters: usize,
    pub(super) f32_bytes: u64,
    pub(super) f16_bytes: u64,
}

/// What the files hold, used or not.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    pub(super) tensors: usize,
    pub(super) bytes: u64,
    /// Tensors of each element type, as the format names them.
    pub(super) dtypes: BTreeMap<String, usize>,
}

/// Bytes of a batch by its plan; parameters are counted with it.
#[derive(Debug, Serialize)]
pub(super) struct BatchMemory {
    pub(super) dtype: &'static str,
    pub(super) tokens: usize,
    pub(super) sequences: usize,
    pub(super) parameters: u64,
    pub(super) inputs: u64,
    pub(super) outputs: u64,
    pub(super) working: u64,
    /// Why a device with no more than WebGPU's default limits does not take it.
    pub(super) beyond_webgpu_defaults: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Words {
    pub(super) algorithm: &'static str,
    pub(super) tokens: usize,
    pub(super) mask: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Differences {
    pub(super) missing: Vec<String>,
    pub(super) unexpected: Vec<String>,
    pub(super) misshapen: Vec<Misshapen>,
    pub(super) unsupported: Vec<(String, String)>,
    pub(super) differing: Vec<(String, String)>,
    pub(super) ignored: Vec<String>,
    #[serde(skip)]
    pub(super) text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Misshapen {
    pub(super) name: String,
    pub(super) expected: Vec<usize>,
    pub(super) found: Vec<usize>,
}

impl Architecture {
    pub(super) fn of(model: &Model) -> Self {
        let facts = model.facts();
        Self {
            name: facts.architecture,
            layers: facts.layers,
            width: facts.width,
            heads: facts.heads,
            vocab_size: facts.vocab_size,
            max_tokens: facts.max_tokens,
        }
    }
}

impl Needed {
    pub(super) fn of(model: &Model) -> Self {
        let list = model.declarations().list();
        let bytes = |dtype| {
            let each = list.iter().map(|weight| TensorDesc::new(dtype, weight.shape.clone()).buffer_bytes());
            each.fold(0, u64::saturating_add)
        };
        Self {
            tensors: list.len(),
            parameters: list.iter().map(|weight| weight.shape.elements()).fold(0, usize::saturating_add),
            f32_bytes: bytes(DType::F32),
            f16_bytes: bytes(DType::F16),
        }
    }
}

impl Stored {
    pub(super) fn of(checkpoint: &Checkpoint) -> Self {
        let mut stored = Self { tensors: 0, bytes: 0, dtypes: BTreeMap::new() };
        for tensor in checkpoint.names().filter_map(|name| checkpoint.tensor(name)) {
            stored.tensors += 1;
            stored.bytes += tensor.bytes().len() as u64;
            *stored.dtypes.entry(tensor.dtype()).or_default() += 1;
        }
        stored
    }
}

impl BatchMemory {
    /// Planned for a device of unlimited buffers, because the plan tells what is needed only if it can be made.
    pub(super) fn of(model: &Model, dtype: DType, task: TaskName, args: &InspectArgs) -> Result<Self> {
        let (time, count) = (args.batch_tokens as usize, args.count as usize);
        let rows = match task {
            TaskName::FillMask => count,
            TaskName::Label | TaskName::Answer | TaskName::Score => time,
            _ => 0,
        };
        let size = match model.network().signature().padded_to {
            // Texts that are filled up run one at a time.
            Some(padded_to) => BatchSize {
                layout: LayoutKind::Padded,
                time: padded_to.tokens,
                count: 1,
                rows: rows.min(padded_to.tokens),
                globals: 0,
            },
            None => BatchSize { rows, ..BatchSize::packed(time, count) },
        };
        let graph = model.batch_graph(size, dtype)?;
        let defaults = Caps { f16: true, ..Caps::webgpu_default() };
        let raised = Caps { max_binding_bytes: u64::MAX, max_buffer_bytes: u64::MAX, ..defaults.clone() };
        let memory = *Plan::new(&graph, &raised)?.memory();
        Ok(Self {
            dtype: dtype.name(),
            tokens: size.time,
            sequences: size.count,
            parameters: memory.parameters,
            inputs: memory.inputs,
            outputs: memory.outputs,
            working: memory.working,
            beyond_webgpu_defaults: Plan::new(&graph, &defaults).err().map(|error| error.to_string()),
        })
    }
}

impl Differences {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let misshapen = comparison.misshapen.iter().map(|(name, expected, found)| Misshapen {
            name: name.clone(),
            expected: expected.dims().to_vec(),
            found: found.dims().to_vec(),
        });
        Self {
            missing: comparison.missing.clone(),
            unexpected: comparison.unexpected.clone(),
            misshapen: misshapen.collect(),
            unsupported: comparison.unsupported.clone(),
            differing: comparison.differing.clone(),
            ignored: comparison.ignored.clone(),
            text: comparison.whole(),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.model)?;
        let mut line = |name: &str, value: &dyn Display| writeln!(f, "  {name:<13} {value}");
        let Architecture { name, layers, width, heads, vocab_size, max_tokens } = &self.architecture;
        line("architecture", &format!("{name}, {layers} layers of {width} channels, {heads} heads"))?;
        line("takes", &format!("up to {max_tokens} tokens of a vocabulary of {vocab_size}"))?;
        match &self.pooling {
            Some(pooling) => line("task", &format!("{}: {pooling}", self.task))?,
            None => line("task", &self.task)?,
        }
        let tasks = match (&self.tasks[..], self.complete) {
            ([], true) => "nothing on the command line".into(),
            ([], false) => "nothing, as weights are missing".into(),
            (tasks, _) => tasks.join(", "),
        };
        line("can be used", &format!("for {tasks}"))?;
        let Needed { tensors, parameters, f32_bytes, f16_bytes } = self.weights;
        line("needs", &format!("{parameters} parameters in {tensors} tensors"))?;
        line("on a device", &format!("{} as f32, {} as f16", mebibytes(f32_bytes), mebibytes(f16_bytes)))?;
        match &self.file {
            Some(Stored { tensors, bytes, dtypes }) => {
                let types: Vec<_> = dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
                line(
                    "in files",
                    &format!("{} in {tensors} tensors: {}", mebibytes(*bytes), types.join(", ")),
                )?;
            }
            None => line("in files", &"nothing that can be read")?,
        }
        for batch in &self.memory {
            line("memory", batch)?;
        }
        match &self.tokenizer {
            Some(words) => line("tokenizer", words)?,
            None => line("tokenizer", &"none that can be used: ids only")?,
        }
        let complete = if self.complete { "complete" } else { "incomplete" };
        line("weights", &complete)?;
        if let Some(differences) = &self.differences {
            for difference in differences.text.lines() {
                line("", &difference)?;
            }
        }
        self.problems.iter().try_for_each(|problem| line("problem", problem))
    }
}

impl Display for BatchMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, tokens, sequences, parameters, inputs, outputs, working, beyond_webgpu_defaults } =
            self;
        write!(
            f,
            "{tokens} tokens of {sequences} sequences, {dtype}: parameters {}, inputs {}, outputs {}, working {}",
            mebibytes(*parameters),
            mebibytes(*inputs),
            mebibytes(*outputs),
            mebibytes(*working)
        )?;
        match beyond_webgpu_defaults {
            Some(reason) => write!(f, " (more than WebGPU's default limits: {reason})"),
            None => Ok(()),
        }
    }
}

impl Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} tokens", self.algorithm, self.tokens)?;
        self.mask.as_ref().map_or(Ok(()), |mask| write!(f, ", mask {}", output::one_line(mask, 40)))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}
