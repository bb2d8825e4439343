//! How far results are off.

use foveate::HostTensor;
use foveate::ops::attention::EMPTY_ROW_LSE;

/// Magnitudes from here on are the log-sum-exp of a row without keys, [`EMPTY_ROW_LSE`], which stands for "nothing".
const SENTINEL: f64 = 1e29;
const _: () = assert!(EMPTY_ROW_LSE as f64 <= -SENTINEL);

/// The largest distance between two tensors over the largest magnitude of `expected`. Sentinels must be equal to rounding, and
/// count in neither.
pub(crate) fn relative_error(found: &HostTensor, expected: &HostTensor) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let (mut worst, mut largest) = (0.0, 0.0);
    for (found, expected) in found.to_f64().into_iter().zip(expected.to_f64()) {
        let error = (found - expected).abs();
        if expected.abs() > SENTINEL {
            let rounding = f64::from(f32::EPSILON) * expected.abs();
            assert!(error <= rounding, "expected the sentinel {expected:e}, found {found:e}");
            continue;
        }
        // A NaN would vanish in a maximum.
        worst = if error.is_finite() { f64::max(worst, error) } else { f64::INFINITY };
        largest = f64::max(largest, expected.abs());
    }
    worst / largest
}
