//! Stored elements to the two types that kernels read.

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::Dtype;

use super::StoredTensor;
use super::quote;
use crate::{DType, Error, ErrorKind, HostTensor, Result, Shape};

/// Elements below which another thread costs more than it saves.
const PER_THREAD: usize = 1 << 16;

/// Whether elements of that type are read.
pub(super) fn is_supported(stored: Dtype) -> bool {
    matches!(stored, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// The elements of `tensor`, called `name` in its file, rounded to nearest; F64 on its way to f16 by f32.
///
/// Fails where an element is not finite, or is and would not be in `dtype`: WGSL lets a device assume that neither occurs.
pub(super) fn read(name: &str, tensor: &StoredTensor<'_>, shape: &Shape, dtype: DType) -> Result<HostTensor> {
    match dtype {
        DType::F32 => {
            HostTensor::f32(shape.clone(), elements(name, tensor, dtype, |x| x as f32, |x| x.is_finite())?)
        }
        DType::F16 => {
            HostTensor::f16(shape.clone(), elements(name, tensor, dtype, half_of, |x| x.is_finite())?)
        }
        DType::I32 | DType::U32 => Err(not_a_float(dtype)),
    }
}

/// Refuses a type that weights are not loaded as.
pub(super) fn check_target(dtype: DType) -> Result<()> {
    if dtype.is_float() { Ok(()) } else { Err(not_a_float(dtype)) }
}

fn not_a_float(dtype: DType) -> Error {
    Error::new(ErrorKind::Dtype, "weights", "dtype").expecting("f32 or f16").but_found(dtype)
}

fn elements<T: Send + Sync>(
    name: &str,
    tensor: &StoredTensor<'_>,
    dtype: DType,
    round: impl Fn(f64) -> T + Sync,
    is_finite: impl Fn(&T) -> bool + Sync,
) -> Result<Vec<T>> {
    // Every stored type widens to f64 exactly.
    let converted = match tensor.element() {
        Dtype::F16 => map(tensor.bytes(), |bytes| round(f16::from_le_bytes(bytes).to_f64())),
        Dtype::BF16 => map(tensor.bytes(), |bytes| round(bf16::from_le_bytes(bytes).to_f64())),
        Dtype::F32 => map(tensor.bytes(), |bytes| round(f32::from_le_bytes(bytes).into())),
        Dtype::F64 => map(tensor.bytes(), |bytes| round(f64::from_le_bytes(bytes))),
        other => return Err(damaged(name, tensor).expecting("F16, BF16, F32 or F64").but_found(other)),
    };
    let bad = converted.par_iter().with_min_len(PER_THREAD).position_first(|x| !is_finite(x));
    let Some(index) = bad else { return Ok(converted) };
    Err(damaged(name, tensor)
        .expecting(format!("numbers that are finite as {dtype}"))
        .but_found(format!("{} at element {index}", stored_at(tensor, index))))
}

/// By f32, because half's own way from f64 (2.7) drops 32 bits before it rounds on processors without conversions.
fn half_of(x: f64) -> f16 {
    f16::from_f32(x as f32)
}

fn map<const N: usize, T: Send>(bytes: &[u8], convert: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.par_iter().with_min_len(PER_THREAD).map(|&bytes| convert(bytes)).collect()
}

/// One element as text, as stored.
fn stored_at(tensor: &StoredTensor<'_>, index: usize) -> String {
    fn at<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
        bytes.as_chunks::<N>().0.get(index).copied().unwrap_or([0; N])
    }
    let bytes = tensor.bytes();
    match tensor.element() {
        Dtype::F16 => f16::from_le_bytes(at(bytes, index)).to_string(),
        Dtype::BF16 => bf16::from_le_bytes(at(bytes, index)).to_string(),
        Dtype::F32 => format!("{:e}", f32::from_le_bytes(at(bytes, index))),
        _ => format!("{:e}", f64::from_le_bytes(at(bytes, index))),
    }
}

fn damaged(name: &str, tensor: &StoredTensor<'_>) -> Error {
    Error::new(ErrorKind::Weights, tensor.file().to_owned(), format!("tensor `{}`", quote::name(name)))
}
