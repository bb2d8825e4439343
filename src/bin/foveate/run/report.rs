//! What a run found, as text and as JSON.

use std::fmt;
use std::time::Duration;

use foveate::HostTensor;
use foveate::models::Usage;
use foveate::processing::{Answer, Labelled, Word};
use serde::Serialize;

use super::encoding::Input;
use super::exchange::{self, Comparison};
use super::fill::Mask;
use crate::cosine::{cosine, dot};
use crate::device::DeviceReport;
use crate::output;

/// Texts whose numbers are listed; files hold all. Predictions for masked tokens are for reading, and always listed.
const LISTED: usize = 20;
/// The most embeddings that are compared with each other.
const COMPARED: usize = 10;
/// Components of an embedding that are shown.
const COMPONENTS: usize = 4;
/// Characters of a text that are shown.
const SHOWN: usize = 60;

#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) version: &'static str,
    pub(super) model: String,
    pub(super) architecture: &'static str,
    pub(super) device: DeviceReport,
    pub(super) dtype: &'static str,
    pub(super) task: &'static str,
    /// What was put before every text, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<&'a str>,
    pub(super) truncated: usize,
    pub(super) throughput: Throughput,
    /// What other mechanisms in the place of the model's attention cost and gain.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) attention: &'a [Comparison],
    pub(super) results: Vec<Entry<'a>>,
    /// The device in one line.
    #[serde(skip)]
    pub(super) described: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    /// Where they were given in place of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [u32]>,
    tokens: usize,
    truncated: bool,
    #[serde(flatten)]
    found: &'a Found,
}

/// What the model made of one sequence.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    Embedding { embedding: Vec<f32> },
    Hidden { shape: Vec<usize>, min: f32, max: f32, root_mean_square: f64 },
    Masks { masks: Vec<Mask>, filled: String },
    Labels { labels: Vec<Labelled> },
    Words { words: Vec<Word> },
    Answer { answer: Option<Answer> },
    Likelihood { log_likelihood: f64, perplexity: f64 },
}

/// Seconds, and rates over the time spent on running.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Throughput {
    sequences: usize,
    tokens: usize,
    batches: usize,
    loading_s: f64,
    preparing_s: f64,
    running_s: f64,
    sequences_per_s: f64,
    tokens_per_s: f64,
}

impl Found {
    /// The sum of log-probabilities, and their mean as a perplexity; 0 and 1 for a text of one token.
    pub(super) fn likelihood(logs: &[f64]) -> Self {
        // The sum of nothing is -0.
        let log_likelihood = logs.iter().sum::<f64>() + 0.0;
        Self::Likelihood { log_likelihood, perplexity: (-log_likelihood / logs.len().max(1) as f64).exp() }
    }

    /// Hidden states in a few numbers.
    pub(super) fn hidden(tensor: &HostTensor) -> Self {
        let values = tensor.to_f32();
        let squares: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
        Self::Hidden {
            shape: tensor.shape().dims().to_vec(),
            min: values.iter().copied().fold(f32::INFINITY, f32::min),
            max: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            root_mean_square: (squares / values.len().max(1) as f64).sqrt(),
        }
    }
}

impl Throughput {
    pub(super) fn of(usage: Usage, loading: Duration) -> Self {
        let running_s = usage.running.as_secs_f64();
        // A clock may be too coarse to see a small batch.
        let rate = |count: usize| count as f64 / running_s.max(1e-9);
        Self {
            sequences: usage.sequences,
            tokens: usage.tokens,
            batches: usage.batches,
            loading_s: loading.as_secs_f64(),
            preparing_s: usage.preparing.as_secs_f64(),
            running_s,
            sequences_per_s: rate(usage.sequences),
            tokens_per_s: rate(usage.tokens),
        }
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ran {}, {}, in {:.3} s: {:.1} sequences/s, {:.0} tokens/s ({}; before that, weights {:.3} s, plans and kernels \
             {:.3} s)",
            counted(self.sequences, "sequence", "s"),
            counted(self.tokens, "token", "s"),
            self.running_s,
            self.sequences_per_s,
            self.tokens_per_s,
            counted(self.batches, "batch", "es"),
            self.loading_s,
            self.preparing_s
        )
    }
}

fn counted(count: usize, noun: &str, plural: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { plural })
}

impl<'a> Entry<'a> {
    pub(super) fn of((input, found): (&'a Input, &'a Found)) -> Self {
        let Input { source, texts, ids, truncated, .. } = input;
        Self {
            source,
            text: texts.first().map(String::as_str),
            pair: texts.get(1).map(String::as_str),
            ids: if texts.is_empty() { Some(ids) } else { None },
            tokens: ids.len(),
            truncated: *truncated,
            found,
        }
    }

    /// The text, or where there is none its name, on one line.
    fn shown(&self) -> String {
        output::one_line(self.text.unwrap_or(self.source), SHOWN)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, architecture, task, dtype, described, .. } = self;
        writeln!(f, "{task} by {model} ({architecture}), {dtype}, on {described}")?;
        if let Some(prompt) = self.prompt {
            writeln!(f, "before each text: {}", output::one_line(prompt, usize::MAX))?;
        }
        let is_numbers =
            |entry: &&Entry<'_>| matches!(entry.found, Found::Embedding { .. } | Found::Hidden { .. });
        let left_out = self.results.iter().skip(LISTED).filter(is_numbers).count();
        for (entry, number) in self.results.iter().zip(1..).take(self.results.len() - left_out) {
            entry.write(f, number)?;
        }
        if left_out > 0 {
            writeln!(f, "and {left_out} more: --json and --output write all")?;
        }
        self.write_cosines(f)?;
        exchange::write(self.attention, f)
    }
}

impl Entry<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>, number: usize) -> fmt::Result {
        write!(f, "{number:>4}  {:>11}  ", counted(self.tokens, "token", "s"))?;
        match self.found {
            Found::Embedding { embedding } => {
                let first: Vec<String> =
                    embedding.iter().take(COMPONENTS).map(|x| format!("{x:>7.4}")).collect();
                let more = if embedding.len() > COMPONENTS { " .." } else { "" };
                let norm = dot(embedding, embedding).sqrt();
                writeln!(f, "norm {norm:.4}  {}{more}  {}", first.join(" "), self.shown())
            }
            Found::Hidden { shape, min, max, root_mean_square } => writeln!(
                f,
                "{shape:?}  from {min:.4} to {max:.4}, root mean square {root_mean_square:.4}  {}",
                self.shown()
            ),
            Found::Labels { labels } => {
                let shown = labels.iter().map(|found| format!("{} {:.4}", found.label, found.score));
                writeln!(f, "{}  {}", shown.collect::<Vec<_>>().join(", "), self.shown())
            }
            Found::Words { words } => {
                writeln!(f, "{}", self.shown())?;
                for Word { label, score, text, at, .. } in words {
                    writeln!(f, "      {label} {score:.4}  {text} (bytes {} to {})", at.start, at.end)?;
                }
                Ok(())
            }
            Found::Answer { answer: Some(Answer { text, at, score, .. }) } => {
                writeln!(f, "{}", self.shown())?;
                writeln!(f, "      {score:.4}  {text} (bytes {} to {})", at.start, at.end)
            }
            Found::Answer { answer: None } => {
                writeln!(f, "{}\n      no token of the passage was left", self.shown())
            }
            Found::Likelihood { log_likelihood, perplexity } => {
                writeln!(
                    f,
                    "log-likelihood {log_likelihood:.4}, perplexity {perplexity:.4}  {}",
                    self.shown()
                )
            }
            Found::Masks { masks, filled } => {
                writeln!(f, "{}", self.shown())?;
                for Mask { position, predictions } in masks {
                    let tokens: Vec<String> = predictions
                        .iter()
                        .map(|prediction| {
                            let token = output::one_line(&prediction.token, SHOWN);
                            format!("{token} {:.4}", prediction.probability)
                        })
                        .collect();
                    writeln!(f, "      token {position}: {}", tokens.join(", "))?;
                }
                writeln!(f, "      filled: {}", output::one_line(filled, usize::MAX))
            }
        }
    }
}

impl Report<'_> {
    /// How near a few embeddings lie to each other.
    fn write_cosines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let embeddings: Vec<&[f32]> = self
            .results
            .iter()
            .filter_map(|entry| match entry.found {
                Found::Embedding { embedding } => Some(embedding.as_slice()),
                _ => None,
            })
            .collect();
        if !(2..=COMPARED).contains(&embeddings.len()) {
            return Ok(());
        }
        let numbers: String = (1..=embeddings.len()).map(|number| format!("{number:>8}")).collect();
        writeln!(f, "cosine{numbers}")?;
        for (a, number) in embeddings.iter().zip(1..) {
            let row: String = embeddings.iter().map(|b| format!("{:>8.4}", cosine(a, b))).collect();
            writeln!(f, "{number:>6}{row}")?;
        }
        Ok(())
    }
}
