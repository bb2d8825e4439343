//! What is compared, how far it may be off, and how far it was.

use std::fmt;

use foveate::ops::attention::EMPTY_ROW_LSE;
use foveate::{DType, HostTensor};

use crate::Result;

/// How far f32 results may lie from a file, of a tensor's largest element.
pub(crate) const OF_LARGEST: f64 = 1e-4;

/// Magnitudes from here on are the log-sum-exp of a row without keys, [`EMPTY_ROW_LSE`], which stands for "nothing".
const SENTINEL: f64 = 1e29;
const _: () = assert!(EMPTY_ROW_LSE as f64 <= -SENTINEL);

/// Which elements are compared.
#[derive(Clone)]
pub(crate) enum Rows {
    All,
    /// Those of `[batch, .., time, ..]` for which `[batch, time]` has true; `axis` is that of time.
    Of {
        axis: usize,
        kept: Vec<bool>,
    },
}

impl Rows {
    /// Those at times below each item's length.
    pub(crate) fn below(lengths: &HostTensor, time: usize, axis: usize) -> Self {
        let kept =
            lengths.to_f64().into_iter().flat_map(|length| (0..time).map(move |t| (t as f64) < length));
        Self::Of { axis, kept: kept.collect() }
    }

    /// Whether each element of a tensor of shape `dims` is compared.
    fn keeps(&self, dims: &[usize]) -> Result<Vec<bool>> {
        let elements: usize = dims.iter().product();
        let Self::Of { axis, kept } = self else { return Ok(vec![true; elements]) };
        let shown = || format!("{} rows of {dims:?} cannot be told apart along axis {axis}", kept.len());
        let time = *dims.get(*axis).ok_or_else(shown)?;
        if *axis == 0 || kept.len() != dims[0] * time {
            return Err(shown().into());
        }
        let inner: usize = dims[axis + 1..].iter().product();
        let item: usize = dims[1..].iter().product();
        Ok((0..elements).map(|at| kept[at / item * time + at / inner % time]).collect())
    }
}

/// How far a result may be off.
#[derive(Clone, Copy)]
pub(crate) struct Bound {
    /// Of the largest element that is compared.
    pub(crate) of_largest: f64,
    /// Not more than this besides.
    pub(crate) absolute: Option<f64>,
    /// For a tensor that is 0 in theory, so that its largest element is the rounding of whoever computed it.
    pub(crate) of_zero: Option<f64>,
}

impl Bound {
    pub(crate) fn of_largest(of_largest: f64) -> Self {
        Self { of_largest, absolute: None, of_zero: None }
    }

    /// How far off a tensor may be whose largest element is `largest`.
    fn allowed(&self, largest: f64) -> f64 {
        if let Some(of_zero) = self.of_zero {
            return of_zero;
        }
        (self.of_largest * largest).min(self.absolute.unwrap_or(f64::INFINITY))
    }
}

/// How far a result was off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deviation {
    /// The largest distance of an element.
    pub(crate) worst: f64,
    /// The largest element that was expected.
    pub(crate) largest: f64,
    /// How large the distance may be.
    pub(crate) allowed: f64,
}

impl Deviation {
    /// How much of what is allowed was taken.
    pub(crate) fn share(&self) -> f64 {
        if self.worst > 0.0 { self.worst / self.allowed } else { 0.0 }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worst, largest, allowed } = self;
        write!(f, "off by {worst:.1e} where {allowed:.1e} are allowed; the largest element is {largest:.1e}")
    }
}

/// Refuses a result that is farther off than `bound` says. Integers must be equal, and so, to rounding, must sentinels, which count in neither
/// number.
pub(crate) fn compare(
    name: &str,
    found: &HostTensor,
    expected: &HostTensor,
    rows: &Rows,
    bound: Bound,
) -> Result<Deviation> {
    if found.shape() != expected.shape() {
        return Err(format!("{name}: expected {}, found {}", expected.desc(), found.desc()).into());
    }
    let keeps = rows.keeps(expected.shape().dims())?;
    if !keeps.contains(&true) && !keeps.is_empty() {
        return Err(format!("{name}: no row would be compared").into());
    }
    let pairs = || {
        found
            .to_f64()
            .into_iter()
            .zip(expected.to_f64())
            .zip(&keeps)
            .filter_map(|(pair, &is_kept)| is_kept.then_some(pair))
    };
    if expected.dtype() != DType::F32 {
        let differing = pairs().filter(|(found, expected)| found != expected).count();
        if differing > 0 {
            return Err(format!("{name}: {differing} integers differ").into());
        }
        return Ok(Deviation::default());
    }
    let mut deviation = Deviation::default();
    for (found, expected) in pairs() {
        let error = (found - expected).abs();
        if expected.abs() > SENTINEL {
            // Not a number is no sentinel, either.
            let is_near = error <= f64::from(f32::EPSILON) * expected.abs();
            if !is_near {
                return Err(format!("{name}: expected the sentinel {expected:e}, found {found:e}").into());
            }
            continue;
        }
        // A NaN would vanish in a maximum.
        deviation.worst = if error.is_finite() { deviation.worst.max(error) } else { f64::INFINITY };
        deviation.largest = deviation.largest.max(expected.abs());
    }
    deviation.allowed = bound.allowed(deviation.largest);
    if deviation.worst > deviation.allowed {
        return Err(format!("{name}: {deviation}").into());
    }
    Ok(deviation)
}
