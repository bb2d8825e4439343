//! Mechanisms as JSON: what may take the place of a trained model's attention, or run on tensors of a file.
//!
//! A mechanism is a row of the table in `table`, and a struct of its settings that implements `Settings`, in the file that the row's name is imported
//! from. Nothing else lists it: documents, `run --attention`, `attend`, `bench` and the docs go by the table.

mod buckets;
mod chosen;
mod family;
mod given;
mod layer;
mod linear;
mod masks;
mod prototypes;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Attend;
use crate::graph::Value;
use crate::tensor::HostTensor;
use crate::weights::config::MOST_BYTES;
use crate::weights::{Fields, file, parse_json, quote};
use crate::{Error, ErrorKind, Result};

pub use layer::MechanismAttention;
pub use table::{MECHANISMS, MechanismExtents, MechanismRow};
use table::{Method, Tensors};

/// The version of the format that this crate writes, and the only one there is.
const VERSION: u64 = 1;

const OP: &str = "mechanism";

/// An attention mechanism as JSON has it: an object with one field, the mechanism, and what holds for all.
///
/// ```json
/// {"version": 1, "nystrom": {"landmarks": 64}, "layers": [0, 1], "scale": 0.125}
/// ```
///
/// `version` is 1, also where it is absent. `layers` are numbers of attention layers, from 0 on in the order in which the network has them; all
/// where absent. `scale` is the factor of `q . k`, where absent `1 / sqrt(head_size)`; of linear attention that of features, and 1.
///
/// [`MECHANISMS`] lists the mechanisms and their settings. Some read tensors, such as projections, which a document has names of: those run in graphs that
/// have such values ([`Mechanism::attend_with`]), as of `foveate attend`. All others need no weights of their own ([`Mechanism::attend`]).
///
/// Within version 1 a document keeps its meaning: mechanisms may be added, none changes.
///
/// ```
/// use foveate::nn::Mechanism;
///
/// let mechanism = Mechanism::parse("--attention", br#"{"nystrom": {"landmarks": 64}}"#)?;
/// assert_eq!(mechanism.to_json()?, r#"{"version":1,"nystrom":{"landmarks":64,"iterations":6}}"#);
/// let error = Mechanism::parse("--attention", br#"{"nystrom": {"landmarks": 0}}"#).unwrap_err();
/// assert_eq!(error.to_string(), "--attention: nystrom.landmarks: expected at least 1, found 0");
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct Mechanism {
    version: u64,
    #[serde(flatten)]
    method: Method,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

impl Mechanism {
    /// The document in the JSON file at `path`; see [`Mechanism::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(&file::shown(path), &file::read(path, MOST_BYTES)?)
    }

    /// The document in `bytes`, which messages call `source`.
    ///
    /// Fails with [`ErrorKind::Config`], naming what is wrong.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_value(source, parse_json(source, bytes)?)
    }

    /// The document that `value` is, which messages call `source`. Fails as [`Mechanism::parse`] does.
    pub fn from_value(source: &str, value: serde_json::Value) -> Result<Self> {
        let fields = Fields::new(source, value)?;
        if fields.has("version") && fields.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION)
        {
            return Err(fields.refuse("version", VERSION));
        }
        let layers = match fields.get("layers") {
            None => None,
            Some(list) => {
                let numbers = || -> Option<Vec<usize>> {
                    list.as_array()?.iter().map(|layer| usize::try_from(layer.as_u64()?).ok()).collect()
                };
                Some(numbers().ok_or_else(|| fields.refuse("layers", "a list of numbers from 0 on"))?)
            }
        };
        let scale = match fields.has("scale") {
            true => Some(fields.f32("scale", -1e6..=1e6)?),
            false => None,
        };
        let mechanism = Self { version: VERSION, method: method(source, &fields)?, layers, scale };
        mechanism.check(source)?;
        Ok(mechanism)
    }

    /// The document in one line: what [`Mechanism::parse`] reads.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::new(ErrorKind::Io, OP, "json").caused_by(error))
    }

    /// The name of the mechanism, that of its row of [`MECHANISMS`].
    pub fn name(&self) -> &'static str {
        self.method.name()
    }

    /// Numbers of the attention layers in whose place it is, from 0 on; none for all.
    pub fn layers(&self) -> Option<&[usize]> {
        self.layers.as_deref()
    }

    /// Whether it is causal: no token sees a later one.
    pub fn is_causal(&self) -> bool {
        self.method.settings().is_causal()
    }

    /// Whether all that it keeps of earlier tokens is a state of a fixed size, so that layers take [`Layout::Stateful`](crate::nn::Layout::Stateful).
    pub fn has_state(&self) -> bool {
        self.method.settings().has_state()
    }

    /// The names of all tensors that it reads, each once, in the order of the document.
    pub fn tensors(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in self.method.settings().tensors() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Refuses values among `tensors` that kernels do not check: log decays above 0, and factors of the delta rule below 0 or above 2.
    pub fn check_values(&self, tensors: &BTreeMap<String, HostTensor>) -> Result<()> {
        self.method.settings().check_values(tensors)
    }

    /// Initial values for all of [`Mechanism::tensors`] with which it comes as close to exact attention as it can without training: projections along
    /// time that average neighbouring keys, mixtures of heads that are the identity. Empty for a mechanism without such values.
    pub fn untrained(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        self.method.settings().untrained(extents)
    }

    /// The mechanism as layers record it.
    ///
    /// Fails where it reads tensors.
    pub fn attend(&self) -> Result<Arc<dyn Attend>> {
        match self.tensors().first() {
            None => self.attend_with(&BTreeMap::new()),
            Some(name) => Err(Error::new(ErrorKind::Unsupported, OP, self.name())
                .expecting("a mechanism without tensors, where a model's attention is exchanged")
                .but_found(format!("one that reads `{name}`"))),
        }
    }

    /// The mechanism, for graphs that have `tensors`, by the names of [`Mechanism::tensors`].
    ///
    /// Fails where one is missing.
    pub fn attend_with(&self, tensors: &BTreeMap<String, Value>) -> Result<Arc<dyn Attend>> {
        self.method.settings().attend(self.scale, &Tensors(tensors))
    }

    /// Refuses settings that have no meaning, whatever they are used on.
    fn check(&self, source: &str) -> Result<()> {
        let refused = |setting: &str| {
            Error::new(ErrorKind::Config, source.to_owned(), format!("{}.{setting}", self.name()))
        };
        let settings = self.method.settings();
        if let Some((setting, _)) = settings.at_least_1().iter().find(|(_, number)| *number == 0) {
            return Err(refused(setting).expecting("at least 1").but_found(0));
        }
        if settings.tensors().contains(&"") {
            return Err(refused("tensors").expecting("names of tensors").but_found("an empty text"));
        }
        Ok(())
    }
}

impl TryFrom<serde_json::Value> for Mechanism {
    type Error = Error;

    fn try_from(json: serde_json::Value) -> Result<Self> {
        Self::from_value(OP, json)
    }
}

/// The one mechanism among the fields of a document.
fn method(source: &str, fields: &Fields) -> Result<Method> {
    let others = ["version", "layers", "scale"];
    let own: Vec<&str> = fields.names().filter(|name| !others.contains(name)).collect();
    let &[name] = &own[..] else {
        return Err(Error::new(ErrorKind::Config, source.to_owned(), OP)
            .expecting("an object with one mechanism")
            .but_found(if own.is_empty() { "none".to_owned() } else { own.join(", ") }));
    };
    let mut method = serde_json::Map::new();
    method.insert(name.to_owned(), fields.get(name).cloned().unwrap_or_default());
    serde_json::from_value(serde_json::Value::Object(method)).map_err(|error| {
        Error::new(ErrorKind::Config, source.to_owned(), quote::name(name))
            .expecting("a mechanism and its settings")
            .but_found(in_words(&quote::complaint(&error)))
            .caused_by(error)
    })
}

/// A complaint about JSON with words in the place of Rust's types.
fn in_words(complaint: &str) -> String {
    let types =
        [("usize", "a whole number from 0 on"), ("u32", "a whole number from 0 on"), ("f32", "a number")];
    types.iter().fold(complaint.to_owned(), |text, (name, words)| {
        text.replace(&format!("expected {name}"), &format!("expected {words}"))
    })
}

/// Refuses a document whose tensor `name` a graph does not have.
fn no_tensor(name: &str) -> Error {
    Error::new(ErrorKind::Argument, OP, format!("tensor `{name}`"))
        .expecting("a value of the graph for it")
        .but_found("none")
}
