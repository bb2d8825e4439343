//! Numbers in files that other programs read: one array as .npy, several as .safetensors.

use std::path::Path;

use foveate::{DType, Error, ErrorKind, HostTensor, Result};
use safetensors::tensor::{Dtype, TensorView};

/// What kind of file a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Safetensors,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(Error::new(ErrorKind::Argument, "run", "--output")
                .expecting("a name that ends in .npy or .safetensors")
                .but_found(format!("`{}`", path.display()))),
        }
    }

    /// The bytes of a file that holds `tensors`; f32, or i32 beside them in .safetensors.
    pub(super) fn bytes(self, tensors: &[(String, HostTensor)]) -> Result<Vec<u8>> {
        match (self, tensors) {
            (Self::Npy, [(_, tensor)]) => Ok(npy(tensor)),
            (Self::Npy, _) => {
                Err(failed(".npy").expecting("one array").but_found(format!("{} of them", tensors.len())))
            }
            (Self::Safetensors, _) => safetensors(tensors),
        }
    }
}

/// NumPy's format 1.0: magic, version, length of the header, header, elements.
/// <https://numpy.org/doc/2.2/reference/generated/numpy.lib.format.html>
fn npy(tensor: &HostTensor) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    let dims: String = tensor.shape().dims().iter().map(|dim| format!("{dim}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let before = bytes.len() + size_of::<u16>();
    // Blanks and a newline, so that the elements are aligned.
    let length = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before;
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", length - 1).into_bytes());
    bytes.extend(tensor.to_f32().into_iter().flat_map(f32::to_le_bytes));
    bytes
}

fn safetensors(tensors: &[(String, HostTensor)]) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = if tensor.dtype() == DType::I32 { Dtype::I32 } else { Dtype::F32 };
            let view = TensorView::new(dtype, tensor.shape().dims().to_vec(), tensor.bytes());
            Ok((name, view.map_err(|error| failed(name).but_found(error))?))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, None).map_err(|error| failed(".safetensors").but_found(error))
}

fn failed(argument: &str) -> Error {
    Error::new(ErrorKind::Io, "output", format!("--output {argument}"))
}
