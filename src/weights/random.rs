//! Seeded numbers in the place of trained ones.

use crate::{DType, Error, ErrorKind, HostTensor, Result};

use super::declare::Declaration;

/// Uniform in ±1/sqrt(fan-in), the fan-in being the last axis: the range in which PyTorch starts linear layers. The stream
/// is the declaration's own, so that declaring one weight more leaves the others as they were.
pub(super) fn tensor(declaration: &Declaration, dtype: DType, seed: u64) -> Result<HostTensor> {
    let elements = declaration.shape.elements();
    let fan_in = declaration.shape.dims().last().copied().unwrap_or(1).max(1);
    let bound = 1.0 / (fan_in as f32).sqrt();
    let mut state = fnv1a(declaration.name.as_bytes(), seed);
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|error| {
        Error::new(ErrorKind::OutOfMemory, "random weights", format!("`{}`", declaration.name))
            .expecting(format!("memory for {}", declaration.shape))
            .but_found(error)
    })?;
    values.extend(std::iter::repeat_with(|| bound * next(&mut state)).take(elements));
    HostTensor::from_f32(dtype, declaration.shape.clone(), &values)
}

/// SplitMix64 (Steele, Lea and Flood 2014), uniform in [-1, 1).
fn next(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    // 24 bits are what an f32 in this range can tell apart.
    (z >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

/// FNV-1a (Fowler, Noll and Vo 1991), started from `seed`: the standard library's hashes may change between releases.
fn fnv1a(bytes: &[u8], seed: u64) -> u64 {
    let start = seed ^ 0xCBF2_9CE4_8422_2325;
    bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
