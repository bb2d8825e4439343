//! What is trained and how: from flags, or from a checkpoint that flags may add to.

use foveate::models::{LanguageModelConfig, Mixing};
use foveate::nn::Training;
use foveate::ops::optimizer::{AdamW, Sgd};
use foveate::train::{BYTES, Decay, Description, LossScale, MASK, Optimizer, Progress, Schedule, Settings};
use foveate::weights::{parse_json, read_json};
use foveate::{DType, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::args::{self, DecayName, LmArgs, MECHANISM_FILE, OptimizerName, TrainingArgs};

/// Everything but the model that decides how a training goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunSettings {
    pub(super) batch: usize,
    pub(super) accumulate: usize,
    pub(super) steps: u64,
    pub(super) seed: u64,
    pub(super) dropout: f32,
    recompute: usize,
    dtype: String,
    optimizer: OptimizerName,
    weight_decay: f32,
    momentum: f32,
    clip: f32,
    learning_rate: f32,
    warm_up: u64,
    decay: DecayName,
}

/// The start of a loss scale that adapts (Micikevicius et al., arXiv 1710.03740), and how long it must hold to be doubled.
const DYNAMIC_SCALE: LossScale = LossScale::Dynamic { start: 65_536.0, patience: 2000 };

/// The rate that a falling schedule ends at, as a fraction of its peak.
const FLOOR: f32 = 0.1;

/// The model and settings of a training: defaults and flags, or what `progress` says and flags change.
pub(super) fn resolve(
    args: &LmArgs,
    progress: Option<&Progress>,
) -> Result<(LanguageModelConfig, RunSettings)> {
    let refused = |error: serde_json::Error| {
        Error::new(ErrorKind::Config, "train", "checkpoint")
            .expecting("a checkpoint of `foveate train lm`")
            .but_found(error)
    };
    let (config, settings) = match progress {
        None => (defaults(args), RunSettings::defaults()),
        Some(progress) => {
            let Description { model, settings } = progress.description.clone();
            let config = serde_json::from_value(model).map_err(refused)?;
            (config, serde_json::from_value(settings).map_err(refused)?)
        }
    };
    if config.vocab_size != vocabulary(config.masked) {
        return Err(Error::new(ErrorKind::Config, "train", "checkpoint")
            .expecting(format!("a model of {BYTES} bytes, and of a mask where it is a masked one"))
            .but_found(format!("one of {} ids", config.vocab_size)));
    }
    let asked = asked(args, config.clone())?;
    if progress.is_some() && asked != config {
        return Err(Error::new(ErrorKind::Config, "train", "--resume")
            .expecting(format!("the checkpoint's model, {}", shown(&config)))
            .but_found(format!("flags for {}", shown(&asked))));
    }
    Ok((asked, settings.with(&args.learning.training, args.steps)?))
}

fn shown(config: &LanguageModelConfig) -> String {
    let LanguageModelConfig {
        width, heads, layers, feed_forward, length, reversible, mixing, masked, ..
    } = config;
    let mut text =
        format!("width {width}, heads {heads}, depth {layers}, feed-forward {feed_forward}, length {length}");
    for (holds, word) in [(*reversible, ", reversible"), (*masked, ", masked")] {
        text += if holds { word } else { "" };
    }
    if let Some(json) = mixing.as_ref().and_then(|mixing| serde_json::to_string(mixing).ok()) {
        text += &format!(", {json}");
    }
    text
}

/// Ids of a byte-level model.
pub(super) fn vocabulary(masked: bool) -> usize {
    if masked { MASK as usize + 1 } else { BYTES }
}

fn defaults(args: &LmArgs) -> LanguageModelConfig {
    let width = args.width.unwrap_or(LanguageModelConfig::default().width);
    LanguageModelConfig {
        vocab_size: vocabulary(args.masked),
        width,
        feed_forward: width.saturating_mul(4),
        masked: args.masked,
        ..LanguageModelConfig::default()
    }
}

/// `config` with what flags say of it.
fn asked(args: &LmArgs, config: LanguageModelConfig) -> Result<LanguageModelConfig> {
    let mixing = match &args.attention {
        Some(text) => Some(mixing(text)?),
        None => config.mixing.clone(),
    };
    Ok(LanguageModelConfig {
        width: args.width.unwrap_or(config.width),
        heads: args.heads.unwrap_or(config.heads),
        layers: args.depth.unwrap_or(config.layers),
        feed_forward: args.feed_forward.unwrap_or(config.feed_forward),
        length: args.length.unwrap_or(config.length),
        reversible: args.reversible || config.reversible,
        masked: args.masked || config.masked,
        mixing,
        ..config
    })
}

/// What the flag holds, or names with `@FILE`.
fn mixing(text: &str) -> Result<Mixing> {
    let json = match text.strip_prefix(MECHANISM_FILE) {
        Some(path) => read_json(path)?,
        None => parse_json("--attention", text.as_bytes())?,
    };
    Mixing::try_from(json)
}

impl RunSettings {
    fn defaults() -> Self {
        Self {
            batch: 16,
            accumulate: 1,
            steps: 1000,
            seed: 0,
            dropout: 0.0,
            recompute: 0,
            dtype: DType::F32.to_string(),
            optimizer: OptimizerName::Adamw,
            weight_decay: 0.1,
            momentum: 0.9,
            clip: 1.0,
            learning_rate: 2e-3,
            warm_up: 50,
            decay: DecayName::Cosine,
        }
    }

    /// Those of a folder's model, which takes `steps`.
    pub(super) fn of_folder(args: &TrainingArgs, steps: u64) -> Result<Self> {
        let defaults = Self {
            dropout: 0.1,
            weight_decay: 0.01,
            learning_rate: 5e-5,
            warm_up: steps / 10,
            decay: DecayName::Linear,
            ..Self::defaults()
        };
        defaults.with(args, Some(steps))
    }

    /// Those of a model from scratch, which takes `steps`.
    pub(super) fn from_nothing(args: &TrainingArgs, steps: u64) -> Result<Self> {
        Self::defaults().with(args, Some(steps))
    }

    /// These with what flags say.
    fn with(self, args: &TrainingArgs, steps: Option<u64>) -> Result<Self> {
        let settings = Self {
            batch: args.batch.map_or(self.batch, |batch| batch as usize),
            accumulate: args.accumulate.map_or(self.accumulate, |batches| batches as usize),
            steps: steps.unwrap_or(self.steps),
            seed: args.seed.unwrap_or(self.seed),
            dropout: args.dropout.unwrap_or(self.dropout),
            recompute: args.recompute.unwrap_or(self.recompute),
            dtype: args.dtype.clone().unwrap_or(self.dtype),
            optimizer: args.optimizer.unwrap_or(self.optimizer),
            weight_decay: args.weight_decay.unwrap_or(self.weight_decay),
            momentum: args.momentum.unwrap_or(self.momentum),
            clip: args.clip.unwrap_or(self.clip),
            learning_rate: args.lr.unwrap_or(self.learning_rate),
            warm_up: args.warm_up.unwrap_or(self.warm_up),
            decay: args.decay.unwrap_or(self.decay),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Refuses what has no meaning, wherever it comes from: a number that is none would not even be found again in a checkpoint.
    fn check(&self) -> Result<()> {
        args::dtype("train", &self.dtype)?;
        let (fraction, number) = ((1.0, "a number from 0 to below 1"), (f32::MAX, "a number of at least 0"));
        for (flag, value, (below, expected)) in [
            ("--dropout", self.dropout, fraction),
            ("--momentum", self.momentum, fraction),
            ("--weight-decay", self.weight_decay, number),
            ("--clip", self.clip, number),
            ("--lr", self.learning_rate, number),
        ] {
            if !(0.0..below).contains(&value) {
                return Err(Error::new(ErrorKind::Argument, "train", flag)
                    .expecting(expected)
                    .but_found(value));
            }
        }
        for (flag, value, most) in [
            ("--batch", self.batch as u64, 1 << 16),
            ("--accumulate", self.accumulate as u64, 1 << 16),
            ("--steps", self.steps, 1 << 32),
            ("--warm-up", self.warm_up, 1 << 32),
        ] {
            let least = u64::from(!flag.ends_with("up"));
            if !(least..=most).contains(&value) {
                return Err(Error::new(ErrorKind::Argument, "train", flag)
                    .expecting(format!("{least} to {most}"))
                    .but_found(value));
            }
        }
        Ok(())
    }

    /// What the model's layers compute in, and what training adds to them.
    pub(super) fn recording(&self) -> Result<(DType, Training)> {
        let Self { recompute, dropout, seed, .. } = *self;
        let training = Training { recompute, dropout, seed, ..Training::default() };
        Ok((args::dtype("train", &self.dtype)?, training))
    }

    /// How it is trained.
    pub(super) fn training(&self) -> Result<Settings> {
        let &Self { weight_decay, momentum, .. } = self;
        let optimizer = match self.optimizer {
            OptimizerName::Adamw => Optimizer::AdamW(AdamW { weight_decay, ..AdamW::default() }),
            OptimizerName::Sgd => Optimizer::Sgd(Sgd { momentum, weight_decay, nesterov: false }),
        };
        let schedule = Schedule {
            peak: self.learning_rate,
            warm_up: self.warm_up,
            decay: match self.decay {
                DecayName::Constant => Decay::Constant,
                DecayName::Cosine => Decay::Cosine,
                DecayName::Linear => Decay::Linear,
            },
            total: self.steps,
            floor: FLOOR,
        };
        let half = args::dtype("train", &self.dtype)? == DType::F16;
        Ok(Settings {
            optimizer,
            schedule,
            max_norm: (self.clip != 0.0).then_some(self.clip),
            accumulate: self.accumulate,
            loss_scale: if half { DYNAMIC_SCALE } else { LossScale::None },
        })
    }
}
