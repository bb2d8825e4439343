//! Seeded numbers in the place of trained ones.

use crate::{DType, Error, ErrorKind, HostTensor, Result};

use super::declare::Declaration;
use crate::random::Random;

/// Uniform in ±1/sqrt(fan-in), the fan-in being the last axis: the range in which PyTorch starts linear layers. The stream
/// is the declaration's own, so that declaring one weight more leaves the others as they were.
pub(super) fn tensor(declaration: &Declaration, dtype: DType, seed: u64) -> Result<HostTensor> {
    let elements = declaration.shape.elements();
    let fan_in = declaration.shape.dims().last().copied().unwrap_or(1).max(1);
    let bound = 1.0 / (fan_in as f32).sqrt();
    let mut random = Random::new(fnv1a(declaration.name.as_bytes(), seed));
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|error| {
        Error::new(ErrorKind::OutOfMemory, "random weights", format!("`{}`", declaration.name))
            .expecting(format!("memory for {}", declaration.shape))
            .caused_by(error)
    })?;
    values.extend(std::iter::repeat_with(|| bound * random.next_f32()).take(elements));
    HostTensor::from_f32(dtype, declaration.shape.clone(), &values)
}

/// FNV-1a (Fowler, Noll and Vo 1991), started from `seed`: the standard library's hashes may change between releases.
fn fnv1a(bytes: &[u8], seed: u64) -> u64 {
    let start = seed ^ 0xCBF2_9CE4_8422_2325;
    bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
