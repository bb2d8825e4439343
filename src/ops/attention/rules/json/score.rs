//! Scores of a document.

use serde::{Deserialize, Serialize};

use super::super::score::ScoreRule;
use super::super::{Alignment, Buckets, LogBuckets, Score};
use super::mask::no_json;
use super::{Read, Role, config};
use crate::Result;

/// A score rule as JSON has it. The doc of [`RuleDocument`](super::RuleDocument) explains the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ScoreDocument {
    Bias(String),
    Alibi(String),
    Gaussian(String),
    Buckets {
        table: String,
        count: u32,
        max_distance: u32,
        bidirectional: bool,
    },
    RelativeKeys {
        keys: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_bias: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position_bias: Option<String>,
        farthest_after: u32,
    },
    Disentangled {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queries: Option<String>,
        span: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_distance: Option<u32>,
    },
    AdaptiveSpan {
        span: String,
        ramp: f32,
    },
    TopLeft(Box<Self>),
}

impl ScoreDocument {
    pub(super) fn of(score: &Score<String>) -> Result<Self> {
        let document = match &score.rule {
            ScoreRule::Bias(name) => Self::Bias(name.clone()),
            ScoreRule::Alibi(name) => Self::Alibi(name.clone()),
            ScoreRule::Gaussian(name) => Self::Gaussian(name.clone()),
            ScoreRule::Buckets { table, buckets: Buckets { count, max_distance, bidirectional } } => {
                Self::Buckets {
                    table: table.clone(),
                    count: *count,
                    max_distance: *max_distance,
                    bidirectional: *bidirectional,
                }
            }
            ScoreRule::RelativeKeys { content_bias, position_bias, keys, farthest_after } => {
                Self::RelativeKeys {
                    keys: keys.clone(),
                    content_bias: content_bias.clone(),
                    position_bias: position_bias.clone(),
                    farthest_after: *farthest_after,
                }
            }
            ScoreRule::Disentangled { keys, queries, span, max_distance } => Self::Disentangled {
                keys: keys.clone(),
                queries: queries.clone(),
                span: *span,
                max_distance: *max_distance,
            },
            ScoreRule::AdaptiveSpan { span, ramp } => Self::AdaptiveSpan { span: span.clone(), ramp: *ramp },
            ScoreRule::Custom(rule) => return Err(no_json(&rule.name)),
        };
        Ok(match score.alignment {
            Alignment::BottomRight => document,
            Alignment::TopLeft => Self::TopLeft(Box::new(document)),
        })
    }

    pub(super) fn resolve(&self) -> Score<String> {
        match self {
            Self::Bias(name) => Score::bias(name.clone()),
            Self::Alibi(name) => Score::alibi(name.clone()),
            Self::Gaussian(name) => Score::gaussian(name.clone()),
            Self::Buckets { table, count, max_distance, bidirectional } => {
                let buckets =
                    Buckets { count: *count, max_distance: *max_distance, bidirectional: *bidirectional };
                Score::buckets(table.clone(), buckets)
            }
            Self::RelativeKeys { keys, content_bias, position_bias, farthest_after } => Score::relative_keys(
                keys.clone(),
                content_bias.clone(),
                position_bias.clone(),
                *farthest_after,
            ),
            &Self::Disentangled { ref keys, ref queries, span, max_distance: Some(max_distance) } => {
                let buckets = LogBuckets { span, max_distance };
                Score::disentangled_in_buckets(keys.clone(), queries.clone(), buckets)
            }
            Self::Disentangled { keys, queries, span, max_distance: None } => {
                Score::disentangled(keys.clone(), queries.clone(), *span)
            }
            Self::AdaptiveSpan { span, ramp } => Score::adaptive_span(span.clone(), *ramp),
            Self::TopLeft(score) => score.resolve().aligned(Alignment::TopLeft),
        }
    }

    /// Appends what it reads.
    pub(super) fn reads<'d>(&'d self, place: &str, reads: &mut Vec<Read<'d>>) {
        let named = match self {
            Self::Bias(name) => vec![("bias", Some(name))],
            Self::Alibi(name) => vec![("alibi", Some(name))],
            Self::Gaussian(name) => vec![("gaussian", Some(name))],
            Self::Buckets { table, .. } => vec![("buckets.table", Some(table))],
            Self::RelativeKeys { keys, content_bias, position_bias, .. } => vec![
                ("relative_keys.keys", Some(keys)),
                ("relative_keys.content_bias", content_bias.as_ref()),
                ("relative_keys.position_bias", position_bias.as_ref()),
            ],
            Self::Disentangled { keys, queries, .. } => {
                vec![("disentangled.keys", keys.as_ref()), ("disentangled.queries", queries.as_ref())]
            }
            Self::AdaptiveSpan { span, .. } => vec![("adaptive_span.span", Some(span))],
            Self::TopLeft(score) => return score.reads(&format!("{place}.top_left"), reads),
        };
        reads.extend(named.into_iter().filter_map(|(word, name)| {
            Some(Read { place: format!("{place}.{word}"), name: name?, role: Role::Numbers })
        }));
    }

    /// Refuses what no tensor could put right.
    pub(super) fn check(&self, place: &str) -> Result<()> {
        match self {
            Self::AdaptiveSpan { ramp, .. } if !ramp.is_finite() => {
                Err(config(&format!("{place}.adaptive_span.ramp"))
                    .expecting("a finite number")
                    .but_found(ramp))
            }
            Self::TopLeft(score) => score.check(&format!("{place}.top_left")),
            _ => Ok(()),
        }
    }
}
