//! A training in one safetensors file: parameters, the optimiser's state, how far it got, and a checksum of all that.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::tensor::HostTensor;
use crate::weights::{Checkpoint, quote, write_tensors};
use crate::{Error, ErrorKind, Result};

/// The name of [`Progress`] in a file's `__metadata__`.
const METADATA: &str = "foveate.training";

/// How the checksum begins that is the last field there, behind the state it is also of. One entry of metadata has one order.
const CHECKSUM: &str = r#","checksum":""#;
/// How it ends, and the object with it.
const END: &str = r#""}"#;

/// More steps than anyone takes, and few enough to be multiplied with batches.
const MOST_STEPS: u64 = 1 << 40;

/// The version of the format.
const VERSION: u32 = 1;

/// What is trained and how, in the words of whoever trains it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The model: a checkpoint that has another one is refused.
    pub model: serde_json::Value,
    /// Anything else that is to be found again in a checkpoint.
    pub settings: serde_json::Value,
}

/// How far a training got, and of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    /// Steps that are done.
    pub step: u64,
    /// Of those, the steps that changed weights: the others were skipped because gradients overflowed.
    pub applied: u64,
    /// The loss scale in force, where it adapts.
    pub loss_scale: Option<f32>,
    /// Steps since the loss scale was last changed.
    pub steps_at_scale: u64,
    /// What is trained and how.
    pub description: Description,
}

impl Progress {
    /// Before the first step.
    pub(super) fn new(description: Description) -> Self {
        Self { version: VERSION, step: 0, applied: 0, loss_scale: None, steps_at_scale: 0, description }
    }

    /// The same progress of `description`, whose model must be the one in the checkpoint this was read from.
    pub(super) fn with(self, description: Description, checkpoint: &Checkpoint) -> Result<Self> {
        if self.description.model == description.model {
            return Ok(Self { description, ..self });
        }
        Err(Error::new(ErrorKind::Config, checkpoint.source().to_owned(), "model")
            .expecting(&description.model)
            .but_found(&self.description.model))
    }

    /// What the checkpoint says of itself. Its tensors are held to its checksum; files of versions that wrote none are taken without.
    ///
    /// Fails with [`ErrorKind::Config`] when it is no training's or of a version unknown here, and with [`ErrorKind::Weights`] when anything in it
    /// has changed since it was written.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let refused = || Error::new(ErrorKind::Config, checkpoint.source().to_owned(), METADATA);
        let text = checkpoint.metadata(METADATA).ok_or_else(|| {
            refused().expecting("a checkpoint of a training").but_found("a file without its metadata")
        })?;
        let progress: Self = serde_json::from_str(text)
            .map_err(|error| refused().expecting("the state of a training").caused_by(error))?;
        if progress.version != VERSION {
            return Err(refused()
                .expecting(format!("version {VERSION}"))
                .but_found(format!("version {}", progress.version)));
        }
        let counts = [progress.step, progress.applied, progress.steps_at_scale];
        if counts.iter().any(|&count| count > MOST_STEPS) {
            return Err(refused()
                .expecting(format!("at most {MOST_STEPS} steps"))
                .but_found(format!("{counts:?}")));
        }
        if let Some(scale) = progress.loss_scale.filter(|scale| !(scale.is_finite() && *scale >= 1.0)) {
            let found = format!("a loss scale of {scale}");
            return Err(refused().expecting("a loss scale of at least 1").but_found(found));
        }
        check_sum(checkpoint, text)?;
        Ok(progress)
    }
}

/// Writes a checkpoint to `path` in one move: the file is complete or as it was, whenever the process ends.
///
/// Fails with [`ErrorKind::Io`] when it cannot be written, and with [`ErrorKind::Diverged`] when a number is not finite.
pub(super) fn write(path: &Path, tensors: &[(String, HostTensor)], progress: &Progress) -> Result<()> {
    let text = serde_json::to_string(progress).map_err(|error| {
        Error::new(ErrorKind::Io, "checkpoint", METADATA)
            .expecting("the state of a training")
            .caused_by(error)
    })?;
    let mut sorted: Vec<&(String, HostTensor)> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut sum = Checksum::new(&text);
    for (name, tensor) in sorted {
        sum.add(name, &tensor.dtype().name().to_uppercase(), tensor.shape().dims(), tensor.bytes());
    }
    let fields = text.strip_suffix('}').unwrap_or(&text);
    write_tensors(path, tensors, &[(METADATA, format!("{fields}{CHECKSUM}{}{END}", sum.finish()))])
}

/// Refuses a checkpoint, which tells of itself with `text`, that is not as it was written.
fn check_sum(checkpoint: &Checkpoint, text: &str) -> Result<()> {
    let Some((fields, expected)) = text.strip_suffix(END).and_then(|text| text.rsplit_once(CHECKSUM)) else {
        return Ok(());
    };
    let mut sum = Checksum::new(&format!("{fields}}}"));
    for (name, tensor) in checkpoint.names().filter_map(|name| Some((name, checkpoint.tensor(name)?))) {
        sum.add(name, &tensor.dtype(), tensor.shape(), tensor.bytes());
    }
    let found = sum.finish();
    if found == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Weights, checkpoint.source().to_owned(), "checksum")
        .expecting(quote::name(expected))
        .but_found(format!("{found}: it has changed since it was written"))
        .with_hint("go on from a copy, or start anew"))
}

/// CRC-32 of what is known of a training and of its tensors in the order of their names, whatever the order of a file.
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn new(progress: &str) -> Self {
        let mut sum = Self(crc32fast::Hasher::new());
        sum.part(progress.as_bytes());
        sum
    }

    /// Adds a tensor; its type as the file format has it.
    fn add(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: &[u8]) {
        self.part(name.as_bytes());
        self.part(dtype.as_bytes());
        for &extent in shape {
            self.part(&(extent as u64).to_le_bytes());
        }
        self.part(bytes);
    }

    /// Adds bytes behind their number, so that none can move from one part to the next.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        format!("crc32 {:08x}", self.0.finalize())
    }
}
