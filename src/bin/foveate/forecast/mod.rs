//! `foveate forecast`: how a series goes on, by a folder that `train forecast` wrote; and how a series becomes what a forecaster reads.

mod command;
mod paths;

use std::path::Path;

use foveate::models::{Forecaster, ForecasterConfig};
use foveate::ops::attention::LogSparse;
use foveate::processing::series::{COVARIATES, Series};
use foveate::weights::{Checkpoint, Fields, Weights};
use foveate::{DType, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::memory;

pub(crate) use command::run;
pub(crate) use paths::{Paths, QUANTILES};

/// The `model_type` of a forecaster's `config.json`.
pub(crate) const MODEL_TYPE: &str = "log-sparse-forecaster";

/// No time of a series is as far from the beginning of 1970, in seconds: ten thousand years.
const TIMES: i64 = 10_000 * 366 * 86_400;

/// The `config.json` of a forecaster's folder: its extents, and how a series becomes what it reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) model_type: String,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) layers: usize,
    pub(crate) feed_forward: usize,
    pub(crate) kernel: usize,
    /// Values that a forecast is made from.
    pub(crate) context: usize,
    /// Values that are forecast at once.
    pub(crate) horizon: usize,
    /// Values before that are seen without gaps; all are seen where absent.
    pub(crate) local: Option<u32>,
    /// What was taken out of the values.
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
    /// Seconds from one value to the next.
    pub(crate) interval: i64,
    /// Seconds from the beginning of 1970 to the first and the last value of the series, between which ages go from -1 to 1.
    pub(crate) span: [i64; 2],
}

impl Settings {
    /// The forecaster that they are those of. Fails when an extent is 0 or too large, or one does not divide another.
    pub(crate) fn forecaster(&self) -> Result<Forecaster> {
        let &Self { width, heads, layers, feed_forward, kernel, context, horizon, local, .. } = self;
        Forecaster::new(ForecasterConfig {
            covariates: COVARIATES,
            width,
            heads,
            layers,
            feed_forward,
            kernel,
            length: context.saturating_add(horizon),
            log_sparse: local.map(|local| LogSparse { local, restart: None }),
        })
    }

    /// The settings and the weights in a forecaster's folder.
    ///
    /// Fails when a file is missing or damaged, and when it is another model's folder.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Forecaster, Weights)> {
        let fields = Fields::open(folder.join("config.json"))?;
        if fields.text("model_type")? != MODEL_TYPE {
            return Err(
                fields.refuse("model_type", format!("`{MODEL_TYPE}`, as `foveate train forecast` writes it"))
            );
        }
        let refused = |found: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Config, fields.source().to_owned(), "settings")
                .expecting("those of a forecaster")
                .but_found(found)
        };
        let all = fields.names().map(|name| (name.to_owned(), fields.get(name).cloned().unwrap_or_default()));
        let settings: Self = serde_json::from_value(serde_json::Value::Object(all.collect()))
            .map_err(|error| refused(&error))?;
        let [first, last] = settings.span;
        let years = -TIMES..=TIMES;
        for (name, is_sound, expected) in [
            ("context", settings.context > 0, "at least 1"),
            ("horizon", settings.horizon > 0, "at least 1"),
            ("deviation", settings.deviation > 0.0 && settings.deviation.is_finite(), "a number above 0"),
            ("mean", settings.mean.is_finite(), "a finite number"),
            ("interval", (1..=TIMES).contains(&settings.interval), "seconds above 0"),
            (
                "span",
                years.contains(&first) && years.contains(&last) && first < last,
                "two times, the later one last",
            ),
        ] {
            if !is_sound {
                return Err(fields.refuse(name, expected));
            }
        }
        let forecaster = settings.forecaster().map_err(|error| error.within(fields.source().to_owned()))?;
        memory::check_files("forecast", folder)?;
        let weights = Checkpoint::open(folder)?.load(forecaster.declarations(), DType::F32)?;
        Ok((settings, forecaster, weights))
    }
}

/// A series as a forecaster reads it.
pub(crate) struct Scaled {
    /// Of about mean 0 and variance 1.
    pub(crate) values: Vec<f32>,
    /// `[count, COVARIATES]`, of all times, and of those to forecast.
    covariates: Vec<f32>,
    mean: f32,
    deviation: f32,
}

impl Scaled {
    /// The series with what `settings` say taken out, and as many times behind it as are forecast at once.
    pub(crate) fn of(series: &Series, settings: &Settings) -> Self {
        let Settings { mean, deviation, .. } = *settings;
        let [from, by] = [mean, deviation].map(f64::from);
        let values = series.values().iter().map(|&value| ((f64::from(value) - from) / by) as f32).collect();
        let count = series.values().len() + settings.horizon;
        Self { values, covariates: series.covariates_within(settings.span, count), mean, deviation }
    }

    /// A value as it is in the series.
    fn back(&self, value: f32) -> f32 {
        value * self.deviation + self.mean
    }

    /// What the model reads of the `length` times from `start` on: the value before each, and its covariates. `values` are those before and at these
    /// times, the first of them that before `start`.
    pub(crate) fn seen(&self, start: usize, length: usize, values: &[f32]) -> Vec<f32> {
        let rows = values.iter().take(length).enumerate();
        rows.flat_map(|(at, &value)| {
            let covariates = &self.covariates[(start + at) * COVARIATES..][..COVARIATES];
            [value].into_iter().chain(covariates.iter().copied())
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_have_no_meaning_are_refused() {
        let folder = std::env::temp_dir().join(format!("foveate-forecaster-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let settings = Settings {
            model_type: MODEL_TYPE.into(),
            width: 4,
            heads: 2,
            layers: 1,
            feed_forward: 8,
            kernel: 1,
            context: 3,
            horizon: 2,
            local: None,
            mean: 0.0,
            deviation: 1.0,
            interval: 60,
            span: [0, 600],
        };
        let found = |settings: &serde_json::Value| {
            std::fs::write(folder.join("config.json"), settings.to_string()).unwrap();
            Settings::open(&folder).err().map(|error| error.to_string()).unwrap_or_default()
        };
        // Whole settings fail for want of weights.
        let whole = serde_json::json!(settings);
        assert!(found(&whole).contains("model.safetensors"), "{}", found(&whole));
        for (field, value) in [
            ("model_type", serde_json::json!("bert")),
            ("context", 0.into()),
            ("horizon", 0.into()),
            ("deviation", 0.into()),
            ("interval", 0.into()),
            ("span", serde_json::json!([5, 5])),
            ("span", serde_json::json!([i64::MIN, i64::MAX])),
            ("span", serde_json::json!([i64::MIN, i64::MIN + 1])),
        ] {
            let mut settings = whole.clone();
            settings[field] = value;
            let found = found(&settings);
            assert!(found.contains(field) && !found.contains("model.safetensors"), "{field}: {found}");
        }
        for (field, value) in [
            ("width", "wide".into()),
            ("heads", 3.into()),
            ("horizon", (-1).into()),
            ("context", u64::MAX.into()),
        ] {
            let mut settings = whole.clone();
            settings[field] = value;
            let found = found(&settings);
            assert!(
                found.contains("config.json") && !found.contains("model.safetensors"),
                "{field}: {found}"
            );
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
