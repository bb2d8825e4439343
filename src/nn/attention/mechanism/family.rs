//! Families of settings: documents with lists in the place of settings.

use std::path::Path;

use serde_json::{Map, Value};

use super::table::MECHANISMS;
use super::{Mechanism, OP};
use crate::weights::config::MOST_BYTES;
use crate::weights::{file, parse_json};
use crate::{Error, ErrorKind, Result};

/// Members of a family, at most.
const MOST: usize = 256;

impl Mechanism {
    /// The members of the family in the JSON file at `path`; see [`Mechanism::family`].
    pub fn open_family(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let path = path.as_ref();
        Self::family(&file::shown(path), &file::read(path, MOST_BYTES)?)
    }

    /// The members of the family in `bytes`, which messages call `source`: a document in which settings may be lists, `{"nystrom": {"landmarks":
    /// [16, 32, 64]}}`, and `scale`, too. Of several lists every combination is a member. What is
    /// a list in every document (`dilations`, `layers`) is a list of lists there.
    ///
    /// Fails with [`ErrorKind::Config`] where a member is no document, a list is empty, or there are more than 256 members.
    pub fn family(source: &str, bytes: &[u8]) -> Result<Vec<Self>> {
        let members = expanded(source, parse_json(source, bytes)?)?;
        members.into_iter().map(|member| Self::from_value(source, member)).collect()
    }
}

/// Lists within lists that `value` begins with.
fn depth(value: &Value) -> usize {
    match value.as_array() {
        Some(list) => 1 + list.first().map_or(0, depth),
        None => 0,
    }
}

/// The documents that `document` stands for. What is no object is left to whoever reads it.
fn expanded(source: &str, document: Value) -> Result<Vec<Value>> {
    let Value::Object(fields) = document else { return Ok(vec![document]) };
    let mut members = vec![Map::new()];
    for (name, value) in fields {
        let values = match (value, MECHANISMS.iter().find(|row| row.name == name)) {
            (Value::Object(settings), Some(row)) => {
                let example = parse_json(row.name, row.settings.as_bytes())?;
                let own = |name: &str| example.get(name).map_or(0, depth);
                combinations(source, settings, own)?.into_iter().map(Value::Object).collect()
            }
            (value, _) => choices(source, &name, value, usize::from(name == "layers"))?,
        };
        members = crossed(source, members, &name, &values)?;
    }
    Ok(members.into_iter().map(Value::Object).collect())
}

/// Every combination of `settings`, whose values are lists of themselves where they are deeper than their `own` depth.
fn combinations(
    source: &str,
    settings: Map<String, Value>,
    own: impl Fn(&str) -> usize,
) -> Result<Vec<Map<String, Value>>> {
    let mut members = vec![Map::new()];
    for (name, value) in settings {
        let values = choices(source, &name, value, own(&name))?;
        members = crossed(source, members, &name, &values)?;
    }
    Ok(members)
}

/// The values that a setting takes.
fn choices(source: &str, name: &str, value: Value, own: usize) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) if values.is_empty() && own == 0 => {
            Err(Error::new(ErrorKind::Config, source.to_owned(), name.to_owned())
                .expecting("at least one setting")
                .but_found("an empty list"))
        }
        Value::Array(values) if 1 + values.first().map_or(0, depth) > own => Ok(values),
        value => Ok(vec![value]),
    }
}

/// Each of `members` with each of `values` as `name`.
fn crossed(
    source: &str,
    members: Vec<Map<String, Value>>,
    name: &str,
    values: &[Value],
) -> Result<Vec<Map<String, Value>>> {
    let count = members.len().saturating_mul(values.len());
    if count > MOST {
        return Err(Error::new(ErrorKind::Config, source.to_owned(), OP)
            .expecting(format!("at most {MOST} members of a family"))
            .but_found(count));
    }
    let with = |member: &Map<String, Value>, value: &Value| {
        let mut member = member.clone();
        member.insert(name.to_owned(), value.clone());
        member
    };
    Ok(members.iter().flat_map(|member| values.iter().map(|value| with(member, value))).collect())
}
