//! What results are verified by on the host, in f64.

use foveate::{DType, HostTensor, Random, Result, TensorDesc};

/// Numbers in [-1, 1), as `desc` stores them.
pub(crate) fn noise(desc: &TensorDesc, seed: u64) -> Result<HostTensor> {
    let mut random = Random::new(seed);
    let values: Vec<f32> = (0..desc.elements()).map(|_| random.next_f32()).collect();
    HostTensor::from_f32(desc.dtype, desc.shape.clone(), &values)
}

/// Errors of some elements of a result, in parts of what rounding explains.
pub(crate) struct Sampled {
    /// Rounding of the stored result, and of operands that a kernel rounds to the stored type between two products.
    stored: f64,
    worst: f64,
}

impl Sampled {
    pub(crate) fn new(dtype: DType) -> Self {
        let stored = if dtype == DType::F16 { 2f64.powi(-9) } else { 2f64.powi(-20) };
        Self { stored, worst: 0.0 }
    }

    /// Takes an element in whose sum the summands' magnitudes add up to `magnitude`. Errors of summands differ in sign, so their sum is far
    /// smaller than that times the rounding of one; sums in f32 round each time.
    pub(crate) fn add(&mut self, found: f64, expected: f64, magnitude: f64) {
        let bound = self.stored * expected.abs().max(magnitude / 16.0) + 2f64.powi(-20) * magnitude;
        // A result that is no number is never within a bound.
        let of_bound = (found - expected).abs() / bound;
        self.worst = if of_bound.is_nan() { f64::INFINITY } else { self.worst.max(of_bound) };
    }

    pub(crate) fn of_bound(&self) -> f64 {
        self.worst
    }
}
