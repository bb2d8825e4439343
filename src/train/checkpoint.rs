//! A training in one safetensors file: parameters, the optimiser's state, and how far it got.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tensor::{DType, HostTensor};
use crate::weights::Checkpoint;
use crate::weights::file::shown;
use crate::{Error, ErrorKind, Result};

/// The name of [`Progress`] in a file's `__metadata__`.
const METADATA: &str = "foveate.training";

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

    /// What the checkpoint says of itself. Fails with [`ErrorKind::Config`] when it is no training's or of a version unknown here.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let refused = || Error::new(ErrorKind::Config, checkpoint.source().to_owned(), METADATA);
        let text = checkpoint.metadata(METADATA).ok_or_else(|| {
            refused().expecting("a checkpoint of a training").but_found("a file without its metadata")
        })?;
        let progress: Self = serde_json::from_str(text)
            .map_err(|error| refused().expecting("the state of a training").but_found(error))?;
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
        Ok(progress)
    }
}

/// Writes a checkpoint to `path` in one move: the file is complete or as it was, whenever the process ends.
///
/// Fails with [`ErrorKind::Io`] when it cannot be written, and with [`ErrorKind::Diverged`] when a number is not finite.
pub(super) fn write(path: &Path, tensors: &[(String, HostTensor)], progress: &Progress) -> Result<()> {
    let failed = |found: String| {
        Error::new(ErrorKind::Io, "checkpoint", shown(path))
            .expecting("a file that can be written")
            .but_found(found)
    };
    for (name, tensor) in tensors {
        if tensor.dtype().is_float() && tensor.to_f32().iter().any(|x| !x.is_finite()) {
            return Err(Error::new(ErrorKind::Diverged, "checkpoint", format!("`{name}`"))
                .expecting("finite numbers")
                .but_found("others, so that nothing was written"));
        }
    }
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = match tensor.dtype() {
                DType::F32 => safetensors::Dtype::F32,
                DType::F16 => safetensors::Dtype::F16,
                DType::I32 => safetensors::Dtype::I32,
                DType::U32 => safetensors::Dtype::U32,
            };
            let shape = tensor.shape().dims().to_vec();
            let view = safetensors::tensor::TensorView::new(dtype, shape, tensor.bytes());
            view.map(|view| (name.as_str(), view)).map_err(|error| failed(error.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    let text = serde_json::to_string(progress).map_err(|error| failed(error.to_string()))?;
    let metadata = [(METADATA.to_owned(), text)].into();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(error.to_string()))?;
    replace_file(path, &bytes).map_err(|error| failed(error.to_string()))
}

/// Puts `bytes` into the place of the file at `path` in one move: whenever the process ends, the file is complete or as it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = unfinished(path);
    // Contents must reach the disk before the name does, and the name before this returns.
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, path)?;
    // Only Unix lets a folder be opened and synchronised; elsewhere the rename is as durable as the system makes it.
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Where a file is written before it takes its place: in the same folder, since only there a rename is one move.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}
