//! Learning rates by step.

use crate::{Error, ErrorKind, Result};

/// The course of the learning rate after its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decay {
    /// It stays.
    #[default]
    Constant,
    /// It falls along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, equation 5, without restarts).
    Cosine,
    /// It falls along a line.
    Linear,
}

/// A learning rate that rises from 0 over the first steps, and then stays or falls to a floor.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f32,
    /// Steps over which it rises to that.
    pub warm_up: u64,
    /// The course after that.
    pub decay: Decay,
    /// Steps of the whole training, after which a rate that falls has reached its floor.
    pub total: u64,
    /// The lowest rate, as a fraction of the highest.
    pub floor: f32,
}

impl Schedule {
    /// The same rate at every step.
    pub fn constant(rate: f32) -> Self {
        Self { peak: rate, warm_up: 0, decay: Decay::Constant, total: 0, floor: 1.0 }
    }

    /// The rate of step `step`, counted from 1.
    pub fn rate(&self, step: u64) -> f32 {
        if step < self.warm_up {
            return self.peak * (step as f64 / self.warm_up as f64) as f32;
        }
        let span = self.total.saturating_sub(self.warm_up).max(1);
        let gone = (step.saturating_sub(self.warm_up) as f64 / span as f64).min(1.0);
        let left = match self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * gone).cos()),
            Decay::Linear => 1.0 - gone,
        };
        let floor = f64::from(self.floor);
        (f64::from(self.peak) * (floor + (1.0 - floor) * left)) as f32
    }

    /// Refuses rates and fractions without a meaning.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |name: &str, expected: &str, found: f32| {
            Err(Error::new(ErrorKind::Argument, "schedule", name).expecting(expected).but_found(found))
        };
        if !(self.peak.is_finite() && self.peak >= 0.0) {
            return refused("peak", "a learning rate of at least 0", self.peak);
        }
        if !(0.0..=1.0).contains(&self.floor) {
            return refused("floor", "a fraction from 0 to 1", self.floor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_rises_to_its_peak_and_falls_to_its_floor() {
        let schedule = Schedule { peak: 2.0, warm_up: 10, decay: Decay::Cosine, total: 110, floor: 0.1 };
        let close = |step, expected: f32| {
            let found = schedule.rate(step);
            assert!((found - expected).abs() < 1e-6, "step {step}: {found} for {expected}");
        };
        close(1, 0.2);
        close(10, 2.0);
        close(60, 1.1);
        close(110, 0.2);
        close(1000, 0.2);
        let linear = Schedule { decay: Decay::Linear, floor: 0.0, ..schedule };
        assert_eq!((linear.rate(60), linear.rate(110)), (1.0, 0.0));
        assert_eq!(Schedule::constant(0.5).rate(1), 0.5);
        assert_eq!(Schedule::constant(0.5).rate(u64::MAX), 0.5);
    }
}
