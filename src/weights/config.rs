//! Configuration files: JSON read with a bound, and fields read with their ranges.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use super::{file, quote};
use crate::{Error, ErrorKind, Result};

/// The largest JSON file that is read. Configurations take kilobytes; the index of a checkpoint of 100 000 tensors takes 9 MB.
pub(crate) const MOST_BYTES: u64 = 16 << 20;

/// The JSON in the file at `path`, of at most 16 MiB.
///
/// Fails with [`ErrorKind::Io`] where the file cannot be read, and with [`ErrorKind::Config`], naming line and column, where it
/// is not JSON.
pub fn read_json(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    parse_json(&file::shown(path), &file::read(path, MOST_BYTES)?)
}

/// The JSON in `bytes`, which messages call `source`.
pub fn parse_json(source: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            source.to_owned(),
            format!("line {}, column {}", error.line(), error.column()),
        )
        .expecting("JSON")
        .but_found(quote::json(&error, bytes))
        .caused_by(error)
    })
}

/// The fields of a JSON object. Reading one checks its type and range; every error names file, field, expected and found.
///
/// A field that is `null` counts as absent, as Hugging Face's writers mean it.
///
/// ```
/// use foveate::weights::{Fields, parse_json};
///
/// let json = parse_json("config.json", br#"{"hidden_size": 384, "hidden_act": "gelu"}"#)?;
/// let fields = Fields::new("config.json", json)?;
/// assert_eq!(fields.usize("hidden_size", 1..=1 << 16)?, 384);
/// let error = fields.usize("num_hidden_layers", 1..=1 << 10).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "config.json: num_hidden_layers: expected a whole number from 1 to 1024, found no such field"
/// );
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fields {
    source: String,
    /// The path of the object inside its file, with a dot behind it; empty for the outermost.
    path: String,
    object: Map<String, Value>,
}

impl Fields {
    /// The fields of `value`, which must be an object, from a file that messages call `source`.
    pub fn new(source: impl Display, value: Value) -> Result<Self> {
        let source = source.to_string();
        match value {
            Value::Object(object) => Ok(Self { source, path: String::new(), object }),
            other => Err(Error::new(ErrorKind::Config, source, "document")
                .expecting("an object")
                .but_found(brief(&other))),
        }
    }

    /// The fields of the JSON file at `path`; see [`read_json`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(file::shown(path.as_ref()), read_json(path)?)
    }

    /// What messages call the file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.object.keys().map(String::as_str)
    }

    /// Whether the field is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field as it is, unless absent or null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A whole number in `range`.
    pub fn usize(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &expected, |value| {
            value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| range.contains(number))
        })
    }

    /// A whole number in `range`, or `default` where the field is absent.
    pub fn usize_or(&self, name: &str, range: RangeInclusive<usize>, default: usize) -> Result<usize> {
        if self.has(name) { self.usize(name, range) } else { Ok(default) }
    }

    /// A number in `range`.
    pub fn f32(&self, name: &str, range: RangeInclusive<f32>) -> Result<f32> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        // The range is checked after rounding: what the caller gets lies in it.
        self.read(name, &expected, |value| {
            value.as_f64().map(|number| number as f32).filter(|number| range.contains(number))
        })
    }

    /// A number in `range`, or `default` where the field is absent.
    pub fn f32_or(&self, name: &str, range: RangeInclusive<f32>, default: f32) -> Result<f32> {
        if self.has(name) { self.f32(name, range) } else { Ok(default) }
    }

    /// A list of whole numbers in `range`.
    pub fn numbers(&self, name: &str, range: RangeInclusive<usize>) -> Result<Vec<usize>> {
        let expected = format!("a list of whole numbers from {} to {}", range.start(), range.end());
        let number = |value: &Value| {
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            number.filter(|number| range.contains(number))
        };
        self.read(name, &expected, |value| value.as_array()?.iter().map(number).collect())
    }

    /// Ids below `count`: one, or a list of them.
    pub fn ids(&self, name: &str, count: usize) -> Result<Vec<u32>> {
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.filter(|id| (*id as usize) < count)
        };
        self.read(name, &format!("an id below {count}, or a list of them"), |value| match value {
            Value::Array(values) => values.iter().map(id).collect(),
            value => id(value).map(|id| vec![id]),
        })
    }

    /// `true` or `false`.
    pub fn bool(&self, name: &str) -> Result<bool> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// `true` or `false`, or `default` where the field is absent.
    pub fn bool_or(&self, name: &str, default: bool) -> Result<bool> {
        if self.has(name) { self.bool(name) } else { Ok(default) }
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.read(name, "a string", Value::as_str)
    }

    /// A string, or `default` where the field is absent.
    pub fn text_or<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str> {
        if self.has(name) { self.text(name) } else { Ok(default) }
    }

    /// One of the named `choices`, such as activations.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.read(name, &format!("one of {}", names.join(", ")), |value| {
            let text = value.as_str()?;
            choices.iter().find_map(|(name, choice)| (*name == text).then_some(*choice))
        })
    }

    /// One of the named `choices`, or `default` where the field is absent.
    pub fn choice_or<T: Copy>(&self, name: &str, choices: &[(&str, T)], default: T) -> Result<T> {
        if self.has(name) { self.choice(name, choices) } else { Ok(default) }
    }

    /// The fields of an object inside this one.
    pub fn object(&self, name: &str) -> Result<Self> {
        let object = self.read(name, "an object", Value::as_object)?;
        Ok(Self {
            source: self.source.clone(),
            path: format!("{}{}.", self.path, quote::name(name)),
            object: object.clone(),
        })
    }

    /// An error about a field, for checks that a range does not express.
    pub fn refuse(&self, name: &str, expected: impl Display) -> Error {
        let found = self.get(name).map_or_else(|| "no such field".to_owned(), brief);
        Error::new(ErrorKind::Config, self.source.clone(), format!("{}{}", self.path, quote::name(name)))
            .expecting(expected)
            .but_found(found)
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        of: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        self.get(name).and_then(of).ok_or_else(|| self.refuse(name, expected))
    }
}

/// A value in a message: scalars as they are, the rest by its kind.
fn brief(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        // What would be another kind of value without its quotation marks.
        Value::String(text) if serde_json::from_str::<Value>(text).is_ok() => {
            format!("the text \"{}\"", quote::name(text))
        }
        Value::String(text) => format!("`{}`", quote::name(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object of {}", fields.len()),
    }
}
