//! How far results lie from those of another program.

use std::collections::BTreeMap;

use foveate::HostTensor;

use super::tensors::Expected;

/// Log-sum-exps from here down are those of rows that see no key. This crate writes -1e30 for them, other programs minus infinity.
pub(super) const NOTHING: f64 = -1e29;

/// Largest errors, by result.
#[derive(Debug)]
pub(super) struct Comparison {
    errors: BTreeMap<String, f64>,
    tolerance: Option<f64>,
}

impl Comparison {
    /// Whether results lie within `tolerance`, where there is one.
    pub(super) fn of(
        results: &BTreeMap<String, HostTensor>,
        expected: &[Expected],
        tolerance: Option<f64>,
    ) -> Self {
        let errors = expected.iter().filter_map(|Expected { name, values }| {
            Some((name.clone(), error(&results.get(name)?.to_f64(), values)))
        });
        Self { errors: errors.collect(), tolerance }
    }

    pub(super) fn error(&self, name: &str) -> Option<f64> {
        self.errors.get(name).copied()
    }

    pub(super) fn tolerance(&self) -> Option<f64> {
        self.tolerance
    }

    /// Whether nothing lies beyond the tolerance.
    pub(super) fn holds(&self) -> bool {
        self.tolerance.is_none_or(|tolerance| self.errors.values().all(|&error| error <= tolerance))
    }
}

/// The largest distance over the largest magnitude of `expected`, or the distance itself where all of that is 0. Infinite where one of
/// both is no number, or where a row sees keys in only one of both.
fn error(found: &[f64], expected: &[f64]) -> f64 {
    let (mut worst, mut largest) = (0.0, 0.0);
    for (&found, &expected) in found.iter().zip(expected) {
        if found <= NOTHING && expected <= NOTHING {
            continue;
        }
        let distance = (found - expected).abs();
        // A NaN would vanish in a maximum.
        if !distance.is_finite() || found <= NOTHING || expected <= NOTHING {
            return f64::INFINITY;
        }
        worst = f64::max(worst, distance);
        largest = f64::max(largest, expected.abs());
    }
    if largest > 0.0 { worst / largest } else { worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_of_the_largest_and_nothing_slips_through() {
        assert_eq!(error(&[1.0, -4.5], &[1.5, -4.0]), 0.125);
        assert_eq!(error(&[0.25], &[0.0]), 0.25);
        assert_eq!(error(&[], &[]), 0.0);
        assert_eq!(error(&[-1e30, 1.0], &[f64::NEG_INFINITY, 1.0]), 0.0);
        for (found, expected) in
            [(f64::NAN, 1.0), (1.0, f64::NAN), (-1e30, 1.0), (1.0, -1e30), (f64::INFINITY, 1.0)]
        {
            assert_eq!(
                error(&[1.0, found, 1.0], &[1.0, expected, 1.0]),
                f64::INFINITY,
                "{found}, {expected}"
            );
        }
    }
}
