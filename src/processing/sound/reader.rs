//! From recordings to what a model reads.

use std::path::Path;

use super::{LogMel, normalised, normalised_bins};
use crate::Result;
use crate::models::{Model, SoundForm, SoundFrames};
use crate::weights::Fields;

const SETTINGS: &str = "preprocessor_config.json";

/// What turns samples into what a model reads: samples of mean 0 and variance 1, or log-mel features of which each bin has these.
#[derive(Clone, Debug)]
pub struct SoundReader {
    frames: SoundFrames,
    log_mel: Option<LogMel>,
    normalises: bool,
}

impl SoundReader {
    /// For the model of a folder, whose `preprocessor_config.json` says, where it is there, whether samples are normalised (`do_normalize`; they are
    /// unless it says otherwise).
    ///
    /// Fails for a model of texts, and when the file names another rate than the model's or is damaged.
    pub fn open(folder: impl AsRef<Path>, model: &Model) -> Result<Self> {
        let reader = Self::of(&model.frames_for(None)?)?;
        let settings = folder.as_ref().join(SETTINGS);
        if !settings.exists() {
            return Ok(reader);
        }
        let fields = Fields::open(settings)?;
        let rate = reader.frames.rate;
        if fields.usize_or("sampling_rate", 1..=1 << 24, rate)? != rate {
            return Err(fields.refuse("sampling_rate", rate));
        }
        Ok(Self { normalises: fields.bool_or("do_normalize", true)?, ..reader })
    }

    /// For a model that makes such frames.
    ///
    /// Fails when there are no such features of sound at its rate.
    pub fn of(frames: &SoundFrames) -> Result<Self> {
        let log_mel = match frames.form {
            SoundForm::Samples => None,
            SoundForm::LogMel { bins } => Some(LogMel::new(frames.rate, bins)?),
        };
        Ok(Self { frames: *frames, log_mel, normalises: true })
    }

    /// The frames that the model makes.
    pub fn frames(&self) -> SoundFrames {
        self.frames
    }

    /// What the model reads of samples at its rate: as many numbers, or `[frames, bins]`.
    pub fn read(&self, samples: &[f32]) -> Vec<f32> {
        match &self.log_mel {
            Some(log_mel) if self.normalises => normalised_bins(&log_mel.features(samples), log_mel.bins()),
            Some(log_mel) => log_mel.features(samples),
            None if self.normalises => normalised(samples),
            None => samples.to_vec(),
        }
    }
}
