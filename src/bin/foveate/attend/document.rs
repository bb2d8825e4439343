//! What `--rule` names: a rule, or a mechanism with what says where texts end.

use std::collections::BTreeMap;
use std::path::Path;

use foveate::nn::{Layout, Mechanism, Recorder};
use foveate::ops::attention::{Blocked, Mask, RuleDocument, blocked_with_lse};
use foveate::weights::{Fields, read_json};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, Value};
use serde::Serialize;

use super::problem::{GIVEN, missing};

/// The version of documents of mechanisms.
const VERSION: u64 = 1;

/// The document of a run.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum AttendDocument {
    Rule(RuleDocument),
    Mechanism(MechanismDocument),
}

/// `{"version": 1, "mechanism": {..}, "lengths": "tensor"}`, or segments in the place of lengths, or neither.
#[derive(Debug, Serialize)]
pub(super) struct MechanismDocument {
    version: u64,
    mechanism: Mechanism,
    #[serde(skip_serializing_if = "Option::is_none")]
    lengths: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<String>,
}

/// A document with all that it takes from tensors before there is a graph.
#[derive(Debug)]
pub(super) enum Resolved<'d> {
    Rule { document: &'d RuleDocument, spec: Blocked<String> },
    Mechanism(&'d MechanismDocument),
}

impl AttendDocument {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let has_mechanism = |json: &serde_json::Value| json.get("mechanism").is_some();
        match read_json(path)? {
            json if has_mechanism(&json) => {
                let fields = Fields::new(path.display(), json)?;
                MechanismDocument::read(&fields).map(Self::Mechanism)
            }
            // Its own errors have line and column.
            _ => RuleDocument::open(path).map(Self::Rule),
        }
    }

    /// The names of all tensors that it reads.
    pub(super) fn tensors(&self) -> Vec<&str> {
        match self {
            Self::Rule(rule) => rule.tensors(),
            Self::Mechanism(document) => document.tensors(),
        }
    }

    pub(super) fn resolve(&self, tensors: &BTreeMap<String, HostTensor>) -> Result<Resolved<'_>> {
        Ok(match self {
            Self::Rule(document) => Resolved::Rule { document, spec: document.resolve(tensors)? },
            Self::Mechanism(document) => Resolved::Mechanism(document),
        })
    }
}

impl MechanismDocument {
    fn read(fields: &Fields) -> Result<Self> {
        if fields.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION) {
            return Err(fields.refuse("version", VERSION));
        }
        let known = ["version", "mechanism", "lengths", "segments"];
        if let Some(other) = fields.names().find(|name| !known.contains(name)) {
            return Err(fields.refuse(other, "none but version, mechanism, lengths and segments"));
        }
        let name = |field: &str| match fields.get(field) {
            None => Ok(None),
            Some(name) => match name.as_str().filter(|name| !name.is_empty()) {
                Some(name) => Ok(Some(name.to_owned())),
                None => Err(fields.refuse(field, "the name of a tensor")),
            },
        };
        let json = fields.get("mechanism").cloned().unwrap_or_default();
        let mechanism = Mechanism::from_value(&format!("{}: mechanism", fields.source()), json)?;
        let document =
            Self { version: VERSION, mechanism, lengths: name("lengths")?, segments: name("segments")? };
        if document.mechanism.layers().is_some() {
            return Err(fields.refuse("mechanism", "one without layers, as there are none"));
        }
        if document.lengths.is_some() && document.segments.is_some() {
            return Err(fields.refuse("segments", "lengths or segments, not both"));
        }
        Ok(document)
    }

    fn tensors(&self) -> Vec<&str> {
        let mut names = self.mechanism.tensors();
        for name in [&self.lengths, &self.segments].into_iter().flatten() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Where texts end, as layers are told.
    fn layout(
        &self,
        values: &BTreeMap<String, Value>,
        tensors: &BTreeMap<String, HostTensor>,
    ) -> Result<Layout> {
        let value = |name: &String| values.get(name).copied().ok_or_else(|| missing(name));
        Ok(match (&self.lengths, &self.segments) {
            (Some(lengths), _) => Layout::Padded { lengths: value(lengths)? },
            (None, Some(segments)) => {
                let ids = tensors.get(segments).ok_or_else(|| missing(segments))?.to_f64();
                let count = ids.into_iter().fold(0.0, |most, id| f64::max(most, id + 1.0)) as usize;
                Layout::Packed { segments: value(segments)?, count }
            }
            (None, None) => Layout::Rows,
        })
    }

    /// Refuses lengths and segments that a rule would refuse, and values that mean nothing to the mechanism.
    fn check_values(&self, tensors: &BTreeMap<String, HostTensor>, time: usize) -> Result<()> {
        let masks = [self.lengths.clone().map(Mask::lengths), self.segments.clone().map(Mask::segments)];
        for mask in masks.into_iter().flatten() {
            RuleDocument::of(&Blocked::new().mask(mask))?.check_values(tensors, time, time)?;
        }
        self.mechanism.check_values(tensors)
    }
}

impl Resolved<'_> {
    /// The names of all inputs of a graph, query, key and value first.
    pub(super) fn inputs(&self) -> Vec<String> {
        let mut names: Vec<String> = GIVEN.map(str::to_owned).to_vec();
        let mut add = |name: &str| {
            if !names.iter().any(|other| other == name) {
                names.push(name.to_owned());
            }
        };
        match self {
            Self::Rule { spec, .. } => {
                spec.map(|name| add(name));
            }
            Self::Mechanism(document) => document.tensors().into_iter().for_each(add),
        }
        names
    }

    /// Appends attention to `graph`, whose inputs are `values`: the results by name, `out` and of a rule `lse`.
    pub(super) fn record(
        &self,
        graph: &mut Graph,
        values: &BTreeMap<String, Value>,
        tensors: &BTreeMap<String, HostTensor>,
    ) -> Result<Vec<(&'static str, Value)>> {
        let [q, k, v] = GIVEN.map(|name| values[name]);
        match self {
            Self::Rule { document, spec } => {
                let (out, lse) = blocked_with_lse(graph, q, k, v, &spec.map(|name| values[name]))?;
                document.check_values(tensors, time(graph, q)?, time(graph, k)?)?;
                Ok(vec![("out", out), ("lse", lse)])
            }
            Self::Mechanism(document) => {
                let dtype = match graph.desc(q)?.dtype {
                    DType::F16 => DType::F16,
                    _ => DType::F32,
                };
                let layout = document.layout(values, tensors)?;
                let attend = document.mechanism.attend_with(values)?;
                let out = attend.record(&mut Recorder::new(graph, dtype), q, k, v, &layout)?;
                document.check_values(tensors, time(graph, k)?)?;
                Ok(vec![("out", out)])
            }
        }
    }
}

/// Positions of `value: [batch, time, head, channel]`, which attention has taken.
fn time(graph: &Graph, value: Value) -> Result<usize> {
    let desc = graph.desc(value)?;
    let not_rows = || Error::new(ErrorKind::Shape, super::COMMAND, "tensors").but_found(desc);
    desc.shape.dims().get(1).copied().ok_or_else(not_rows)
}
