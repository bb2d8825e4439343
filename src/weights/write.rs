//! Safetensors files, written atomically.

use std::path::Path;

use super::file::shown;
use crate::outputs::replace_file;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Writes a model's folder, which must be there: `model.safetensors` with its weights by name, and then `config.json`; other files stay as they are.
///
/// Fails as [`write_tensors`] does.
pub fn write_model(
    folder: impl AsRef<Path>,
    config: &serde_json::Value,
    weights: &[(String, HostTensor)],
) -> Result<()> {
    let folder = folder.as_ref();
    write_tensors(folder.join(WEIGHTS), weights, &[("format", "pt".to_owned())])?;
    let path = folder.join(CONFIG);
    replace_file(&path, format!("{config:#}\n")).map_err(|error| failed(&path, error))
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "checkpoint", shown(path))
        .expecting("a file that can be written")
        .caused_by(error)
}

/// Writes tensors by name to the safetensors file at `path`, with `metadata` by name, in one move: the file is complete or as it was,
/// whenever the process ends.
///
/// Fails with [`ErrorKind::Io`] when it cannot be written, and with [`ErrorKind::Diverged`] when a number is not finite.
pub fn write_tensors(
    path: impl AsRef<Path>,
    tensors: &[(String, HostTensor)],
    metadata: &[(&str, String)],
) -> Result<()> {
    let path = path.as_ref();
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
            view.map(|view| (name.as_str(), view)).map_err(|error| failed(path, error))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = metadata.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| failed(path, error))?;
    replace_file(path, &bytes).map_err(|error| failed(path, error))
}
