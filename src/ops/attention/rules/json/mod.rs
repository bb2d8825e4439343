//! Rules as JSON: [`Blocked`] with the names of tensors in the place of values. The format is in the doc of [`RuleDocument`].
//!
//! A document keeps the shorthands it was written with; the rules it resolves to have none.

mod mask;
mod score;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Mask;
use super::score::MOST_SCORES;
use crate::ops::attention::Blocked;
use crate::tensor::{HostData, HostTensor};
use crate::{Error, ErrorKind, Result};

use mask::{MOST_PAIRS, MaskDocument};
use score::ScoreDocument;

/// What errors call a rule that was read from no file.
const OP: &str = "rule";

/// The version of the format that this crate writes, and the only one there is.
const VERSION: u64 = 1;

/// Rules of a mask, those that combine others included. Shader compilers bound how deep expressions nest: naga gives up somewhere behind
/// 150 of them.
const MOST_RULES: usize = 64;

/// A rule as JSON has it: [`Blocked`] with the names of tensors in the place of values.
///
/// ```json
/// {"version": 1, "mask": {"any": [{"window": {"left": 4, "right": 4}}, {"globals": "positions"}]}, "scores": [{"alibi": "slopes"}], "scale": 0.25, "softcap": 3.0}
/// ```
///
/// `mask` is `"full"`, `scores` are none, `scale` is `1 / sqrt(head_size)` and there is no `softcap` where they are absent. `"query_start":
/// "tensor"` says where the queries of each item begin ([`Blocked::query_start`]). Texts such as `"positions"` are names of tensors. A rule is an object with one field, or a text where it has no settings. A mask has at most 64 rules, those that combine others included:
///
/// | mask | settings | constructor |
/// |---|---|---|
/// | `"full"`, `"causal"` | | [`Mask::full`], [`Mask::causal`] |
/// | `"window"` | `{"left": 5, "right": 2}` | [`Mask::window`] |
/// | `"band"` | `{"left": 5}`, `{"right": 2}`: unlimited where absent | [`Mask::band`] |
/// | `"dilated_window"` | `{"half_width": 4, "dilations": [3]}`: one, or one for each head | [`Mask::dilated_window`] |
/// | `"dilated"` | `{"left": 4, "right": 0, "dilations": [3]}`: steps, unlimited where absent | part of [`Mask::strided`] |
/// | `"prefix"` | `9` | [`Mask::prefix`] |
/// | `"lengths"`, `"segments"`, `"dense"` | `"tensor"` | [`Mask::lengths`], [`Mask::segments`], [`Mask::dense`] |
/// | `"global_keys"`, `"global_queries"`, `"globals"` | `"tensor"` | [`Mask::global_keys`], [`Mask::global_queries`], [`Mask::globals`] |
/// | `"longformer"` | `{"half_width": 4, "globals": "tensor"}` | [`Mask::longformer`] |
/// | `"blocks"` | `{"block_size": 8, "layout": "tensor"}`: i32 `[heads or 1, query blocks, key blocks]`, 0 for pairs of blocks that are hidden | [`Mask::blocks`] |
/// | `"block_entries"` | `{"block_size": 8, "shape": [1, 5, 5], "entries": [[0, 2, 1]]}` | [`BlockLayout::from_entries`](super::BlockLayout::from_entries) |
/// | `"block_diagonal"`, `"strided"` | `8` | [`Mask::block_diagonal`], [`Mask::strided`] |
/// | `"columns"` | `{"period": 8, "from": 6}`: the keys from 6 on of every 8 | part of [`Mask::fixed`] |
/// | `"fixed"` | `{"stride": 8, "expressivity": 2}` | [`Mask::fixed`] |
/// | `"big_bird"` | `{"block_size": 64, "window_blocks": 3, "global_blocks": 1, "random_blocks": 3, "seed": 0}` | [`Mask::big_bird`] |
/// | `"log_sparse"` | `{"local": 1, "restart": 64}`: no restart where absent | [`Mask::log_sparse`] |
/// | `"all"`, `"any"` | a list of masks | `&`, `\|` |
/// | `"not"` | a mask | `!` |
/// | `"top_left"` | a mask or a score | [`Mask::aligned`], [`Score::aligned`](super::Score::aligned) to [`Alignment::TopLeft`](super::Alignment::TopLeft) |
///
/// | score | settings | constructor |
/// |---|---|---|
/// | `"bias"`, `"alibi"`, `"gaussian"` | `"tensor"` | [`Score::bias`](super::Score::bias), .. |
/// | `"buckets"` | `{"table": "tensor", "count": 16, "max_distance": 20, "bidirectional": true}` | [`Score::buckets`](super::Score::buckets) |
/// | `"relative_keys"` | `{"keys": "tensor", "content_bias": "tensor", "position_bias": "tensor", "farthest_after": 0}`: biases may be absent | [`Score::relative_keys`](super::Score::relative_keys) |
/// | `"disentangled"` | `{"keys": "tensor", "queries": "tensor", "span": 6}`: one of the tensors may be absent | [`Score::disentangled`](super::Score::disentangled) |
/// | `"disentangled"` | the same with `"max_distance": 40` | [`Score::disentangled_in_buckets`](super::Score::disentangled_in_buckets) |
/// | `"adaptive_span"` | `{"span": "tensor", "ramp": 8.0}` | [`Score::adaptive_span`](super::Score::adaptive_span) |
///
/// Within version 1 a document keeps its meaning: rules may be added, none changes.
///
/// `foveate attend` runs such a rule on tensors of a file. Rules of users' own have no JSON.
///
/// ```
/// # #[cfg(feature = "models")] {
/// use foveate::ops::attention::{Blocked, Mask, RuleDocument};
///
/// let spec = Blocked::new().mask(Mask::longformer(4, "positions".to_owned())).scale(0.25);
/// let json = RuleDocument::of(&spec)?.to_json()?;
/// let document = RuleDocument::parse("rule.json", json.as_bytes())?;
/// assert_eq!(document.tensors(), ["positions"]);
/// let error = RuleDocument::parse("rule.json", br#"{"version": 1, "mask": {"all": []}}"#).unwrap_err();
/// assert_eq!(error.to_string(), "rule.json: mask.all: expected at least one rule, found none");
/// # }
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned", into = "Versioned")]
pub struct RuleDocument {
    mask: MaskDocument,
    scores: Vec<ScoreDocument>,
    query_start: Option<String>,
    scale: Option<f32>,
    softcap: Option<f32>,
}

/// The document as it stands in the file, not yet checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned {
    version: u64,
    #[serde(default)]
    mask: MaskDocument,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scores: Vec<ScoreDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    softcap: Option<f32>,
}

impl From<RuleDocument> for Versioned {
    fn from(RuleDocument { mask, scores, query_start, scale, softcap }: RuleDocument) -> Self {
        Self { version: VERSION, mask, scores, query_start, scale, softcap }
    }
}

impl TryFrom<Versioned> for RuleDocument {
    type Error = Error;

    fn try_from(versioned: Versioned) -> Result<Self> {
        let Versioned { version, mask, scores, query_start, scale, softcap } = versioned;
        if version != VERSION {
            return Err(config("version").expecting(VERSION).but_found(version));
        }
        let document = Self { mask, scores, query_start, scale, softcap };
        document.check()?;
        Ok(document)
    }
}

/// What a tensor holds, as far as its values can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Lengths,
    Segments,
    GlobalKeys,
    GlobalQueries,
    QueryStart,
    /// Anything goes.
    Numbers,
}

/// A name of a tensor in a document.
#[derive(Clone, Debug)]
struct Read<'d> {
    /// Its place in the document.
    place: String,
    name: &'d str,
    role: Role,
}

impl RuleDocument {
    /// The document of a rule. Layouts become lists of entries.
    ///
    /// Fails for rules of users' own, which are code, for numbers that are not finite, and where a rule combines none.
    pub fn of(spec: &Blocked<String>) -> Result<Self> {
        let document = Self {
            mask: MaskDocument::of(&spec.mask.0)?,
            scores: spec.scores.iter().map(ScoreDocument::of).collect::<Result<_>>()?,
            query_start: spec.query_start.clone(),
            scale: spec.scale,
            softcap: spec.softcap,
        };
        document.check()?;
        Ok(document)
    }

    /// The names of all tensors that the rule reads, layouts among them, each once, in the order of the document.
    pub fn tensors(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for Read { name, .. } in self.reads() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The rule, with layouts read from `tensors`; the others need not be there.
    ///
    /// Fails when a layout is missing or is not i32 `[heads or 1, query blocks, key blocks]`, and where settings have no meaning.
    pub fn resolve(&self, tensors: &BTreeMap<String, HostTensor>) -> Result<Blocked<String>> {
        let mut spec = Blocked::new().mask(self.mask.resolve("mask", tensors)?);
        spec.scores = self.scores.iter().map(ScoreDocument::resolve).collect();
        spec.query_start.clone_from(&self.query_start);
        (spec.scale, spec.softcap) = (self.scale, self.softcap);
        Ok(spec)
    }

    /// Refuses values among `tensors` that devices would take for something else: lengths below 0 or above `key_time`, ids of segments
    /// that decrease along time, global positions that are neither below the time nor -1, which stands for none, starts of queries below 0 or
    /// above `key_time`.
    ///
    /// Shapes and types are the business of [`blocked`](crate::ops::attention::blocked()), and tensors that are missing that of whoever
    /// binds them.
    pub fn check_values(
        &self,
        tensors: &BTreeMap<String, HostTensor>,
        query_time: usize,
        key_time: usize,
    ) -> Result<()> {
        for read in self.reads() {
            if let Some(HostData::I32(values)) = tensors.get(read.name).map(HostTensor::data) {
                let is_moved = self.query_start.is_some();
                let time = if read.role == Role::GlobalQueries && !is_moved { query_time } else { key_time };
                read.check(values, time)?;
            }
        }
        Ok(())
    }

    /// Everything that it reads, as often as it does.
    fn reads(&self) -> Vec<Read<'_>> {
        let mut reads = Vec::new();
        self.mask.reads("mask", &mut reads);
        for (i, score) in self.scores.iter().enumerate() {
            score.reads(&format!("scores[{i}]"), &mut reads);
        }
        let start = self.query_start.as_ref();
        reads.extend(start.map(|name| Read { place: "query_start".into(), name, role: Role::QueryStart }));
        reads
    }

    /// Refuses what no tensor could put right.
    fn check(&self) -> Result<()> {
        for (field, number) in [("scale", self.scale), ("softcap", self.softcap)] {
            if let Some(number) = number.filter(|number| !number.is_finite()) {
                return Err(config(field).expecting("a finite number").but_found(number));
            }
        }
        let rules = self.mask.count();
        if rules > MOST_RULES {
            return Err(mask::too_many(rules));
        }
        if self.scores.len() > MOST_SCORES {
            return Err(config("scores")
                .expecting(format!("at most {MOST_SCORES} rules"))
                .but_found(self.scores.len()));
        }
        self.mask.check("mask")?;
        let pairs = self.mask.written_pairs();
        if pairs > MOST_PAIRS {
            return Err(config("mask")
                .expecting(format!("at most {MOST_PAIRS} pairs of blocks in all `block_entries`"))
                .but_found(pairs));
        }
        for (i, score) in self.scores.iter().enumerate() {
            score.check(&format!("scores[{i}]"))?;
        }
        match self.reads().iter().find(|read| read.name.is_empty()) {
            Some(read) => {
                Err(config(&read.place).expecting("the name of a tensor").but_found("an empty text"))
            }
            None => Ok(()),
        }
    }
}

impl Read<'_> {
    /// Refuses numbers that have no meaning where positions are below `time`.
    fn check(&self, values: &[i32], time: usize) -> Result<()> {
        let outside = |least: i64, end: usize| {
            let is_outside = |value: &i32| i64::from(*value) < least || i64::from(*value) >= end as i64;
            values.iter().position(is_outside)
        };
        let (wrong, expected) = match self.role {
            Role::Numbers => return Ok(()),
            Role::Lengths => {
                (outside(0, time + 1), format!("lengths from 0 to {time}, the time of the keys"))
            }
            Role::QueryStart => {
                (outside(0, time + 1), format!("positions from 0 to {time}, the time of the keys"))
            }
            Role::GlobalKeys | Role::GlobalQueries => {
                (outside(-1, time), format!("positions below {time}, or -1 for none"))
            }
            Role::Segments => {
                let falls = |at: &usize| !at.is_multiple_of(time) && values[*at - 1] > values[*at];
                ((1..values.len()).find(falls), "ids that never decrease along time".into())
            }
        };
        let Some(at) = wrong else { return Ok(()) };
        let found = match self.role {
            Role::Segments => format!("{} behind {}, at element {at}", values[at], values[at - 1]),
            _ => format!("{} at element {at}", values[at]),
        };
        Err(Error::new(ErrorKind::Argument, OP, format!("{}: tensor `{}`", self.place, self.name))
            .expecting(expected)
            .but_found(found))
    }
}

#[cfg(feature = "models")]
impl RuleDocument {
    /// The document in the JSON file at `path`; see [`RuleDocument::parse`].
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        use crate::weights::{config::MOST_BYTES, file};
        let path = path.as_ref();
        Self::parse(&file::shown(path), &file::read(path, MOST_BYTES)?)
    }

    /// The document in `bytes`, a JSON file that messages call `source`.
    ///
    /// Fails with [`ErrorKind::Config`], naming line and column or the rule's place in the document.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        use crate::weights::{Fields, parse_json, quote};
        // Of a document of another version, nothing else is worth a complaint.
        let fields = Fields::new(source, parse_json(source, bytes)?)?;
        if fields.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION) {
            return Err(fields.refuse("version", VERSION));
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Config, source.to_owned(), place)
                .expecting("a rule")
                .but_found(quote::json(&error, bytes))
                .caused_by(error)
        })?;
        Self::try_from(versioned).map_err(|error| {
            Error::new(error.kind(), source.to_owned(), quote::name(error.argument()))
                .expecting(error.expected())
                .but_found(error.found())
        })
    }

    /// The document as indented JSON with a newline behind it: what [`RuleDocument::parse`] reads.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::new(ErrorKind::Io, OP, "json").caused_by(error))?;
        Ok(text + "\n")
    }
}

/// An error about a place in a document.
fn config(place: &str) -> Error {
    Error::new(ErrorKind::Config, OP, place)
}

/// The layout in `tensor`, which is called `name`.
fn layout(
    place: &str,
    name: &str,
    tensor: Option<&HostTensor>,
    block_size: u32,
) -> Result<super::BlockLayout> {
    const EXPECTED: &str = "i32 [heads or 1, query blocks, key blocks]";
    let refused = |kind| Error::new(kind, OP, format!("{place}.layout: tensor `{name}`")).expecting(EXPECTED);
    let Some(tensor) = tensor else {
        return Err(refused(ErrorKind::Argument).but_found("no tensor of that name"));
    };
    let HostData::I32(values) = tensor.data() else {
        return Err(refused(ErrorKind::Dtype).but_found(tensor.desc()));
    };
    let &[heads, query_blocks, key_blocks] = tensor.shape().dims() else {
        return Err(refused(ErrorKind::Shape).but_found(tensor.desc()));
    };
    let pairs = values.iter().map(|&value| value != 0).collect();
    super::BlockLayout::new(block_size, [heads, query_blocks, key_blocks], pairs)
}
