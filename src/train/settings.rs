//! The settings of a training.

use super::optimizer::Optimizer;
use super::schedule::Schedule;
use crate::{Error, ErrorKind, Result};

/// Loss scaling: the factor of losses before they are differentiated, so that small gradients do not vanish in f16.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum LossScale {
    /// Nothing.
    #[default]
    None,
    /// Always the same, at least 1; steps whose gradients overflow are skipped.
    Fixed(f32),
    /// Halved when gradients overflow, which skips the step, and doubled after `patience` steps in a row without (Micikevicius et al.,
    /// arXiv 1710.03740, section 3.2).
    Dynamic {
        /// The first scale, at least 1.
        start: f32,
        /// Steps until it is doubled.
        patience: u64,
    },
}

/// The settings of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub schedule: Schedule,
    /// The largest norm of all gradients together; longer ones are shortened to it.
    pub max_norm: Option<f32>,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// For layers that compute in f16.
    pub loss_scale: LossScale,
}

impl LossScale {
    /// Whether nothing smaller than `scale` will be tried when gradients overflow.
    pub(super) fn is_least(self, scale: f32) -> bool {
        match self {
            Self::None => true,
            Self::Fixed(_) => false,
            Self::Dynamic { .. } => scale <= 1.0,
        }
    }
}

impl Settings {
    /// AdamW at a constant rate, nothing else.
    pub fn new(optimizer: Optimizer, schedule: Schedule) -> Self {
        Self { optimizer, schedule, max_norm: None, accumulate: 1, loss_scale: LossScale::None }
    }

    /// Whether steps need the norm of all gradients.
    pub(super) fn needs_norm(&self) -> bool {
        self.max_norm.is_some() || self.loss_scale != LossScale::None
    }

    pub(super) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        if self.accumulate == 0 {
            return Err(Error::new(ErrorKind::Argument, "train", "accumulate")
                .expecting("at least 1")
                .but_found(0));
        }
        let (scale, patience) = match self.loss_scale {
            LossScale::None => (1.0, 1),
            LossScale::Fixed(scale) => (scale, 1),
            LossScale::Dynamic { start, patience } => (start, patience),
        };
        if !(scale.is_finite() && scale >= 1.0 && patience > 0) {
            return Err(Error::new(ErrorKind::Argument, "train", "loss_scale")
                .expecting("a number of at least 1, and patience for at least one step")
                .but_found(format!("{scale}, {patience}")));
        }
        Ok(())
    }
}
