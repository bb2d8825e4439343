//! Data files: labelled texts as CSV, TSV or JSONL. Messages name the file and the line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use foveate::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::output;
use crate::run::inputs::{Given, read_lines, refused, unreadable};

const TEXT: &str = "text";
const PAIR: &str = "pair";
const LABEL: &str = "label";

/// Characters of a file's own words that messages show.
const SHOWN: usize = 40;

/// A text, or a pair, with its label.
#[derive(Debug)]
pub(super) struct Row {
    /// The file and the line.
    pub(super) source: String,
    pub(super) texts: Vec<String>,
    pub(super) label: String,
}

impl Row {
    /// The text, to be encoded, and what remains.
    pub(super) fn into_given(self) -> (Given, String, String) {
        let Self { source, texts, label } = self;
        (Given::of_texts(source.clone(), texts), source, label)
    }
}

/// All rows of the file at `path`, whose name says what it is.
///
/// Fails with the first row that lacks a text or a label, and when there is none.
pub(super) fn labelled(path: &Path) -> Result<Vec<Row>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let source = path.display().to_string();
    let read = match extension.to_ascii_lowercase().as_str() {
        "csv" => |source: &str, file| columns(source, file, b','),
        "tsv" => |source: &str, file| columns(source, file, b'\t'),
        "jsonl" | "ndjson" => objects,
        _ => {
            return Err(Error::new(ErrorKind::Argument, "train", source)
                .expecting("a name that ends in .csv, .tsv or .jsonl")
                .but_found(format!("{extension:?}")));
        }
    };
    let file = File::open(path).map_err(|error| unreadable(&source, &error))?;
    let rows = read(&source, file)?;
    if rows.is_empty() {
        return Err(refused(&source, "rows").expecting("at least one").but_found("none"));
    }
    Ok(rows)
}

/// Rows with commas or tabs between their columns, which the first one names.
fn columns(source: &str, file: File, delimiter: u8) -> Result<Vec<Row>> {
    // Tabs separate what may hold quotes as they are.
    let quotes = delimiter == b',';
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).quoting(quotes).from_reader(file);
    let names = reader.headers().map_err(|error| unreadable_row(source, &error))?.clone();
    let place = |name: &str| names.iter().position(|column| column.trim() == name);
    let missing = |name: &str| {
        refused(&format!("{source} line 1"), &format!("column `{name}`"))
            .expecting("it among the names of the columns")
            .but_found(output::one_line(&names.iter().collect::<Vec<_>>().join(", "), SHOWN))
    };
    let text = place(TEXT).ok_or_else(|| missing(TEXT))?;
    let label = place(LABEL).ok_or_else(|| missing(LABEL))?;
    let pair = place(PAIR);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable_row(source, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |place: usize| record.get(place).map(str::to_owned);
        let source = format!("{source} line {line}");
        rows.push(row(source, field(text), pair.map(field), field(label))?);
    }
    Ok(rows)
}

fn unreadable_row(source: &str, error: &csv::Error) -> Error {
    let line = error.position().map_or_else(String::new, |position| format!(" line {}", position.line()));
    let found = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            return refused(&format!("{source}{line}"), "columns")
                .expecting(format!("{expected_len}, as in the first row"))
                .but_found(len);
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("{err}"),
        _ => format!("{error}"),
    };
    Error::new(ErrorKind::Io, format!("{source}{line}"), "row").expecting("columns in UTF-8").but_found(found)
}

/// One JSON object a line.
fn objects(source: &str, file: File) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    read_lines(source, BufReader::new(file), |source, line| {
        let parsed: Value = serde_json::from_str(line)
            .map_err(|error| refused(&source, "row").expecting("a JSON object").but_found(error))?;
        let Value::Object(fields) = parsed else {
            return Err(refused(&source, "row").expecting("a JSON object").but_found("another value"));
        };
        let field = |name: &str, takes_numbers: bool| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(number @ (Value::Number(_) | Value::Bool(_))) if takes_numbers => {
                Ok(Some(number.to_string()))
            }
            Some(_) => Err(refused(&source, name).expecting("a string").but_found("another value")),
        };
        let (text, label) = (field(TEXT, false)?, field(LABEL, true)?);
        let pair = fields.contains_key(PAIR).then(|| field(PAIR, false)).transpose()?;
        rows.push(row(source, text, pair, label)?);
        Ok(())
    })?;
    Ok(rows)
}

/// A row of which everything is there; `pair` only where the file has pairs.
fn row(
    source: String,
    text: Option<String>,
    pair: Option<Option<String>>,
    label: Option<String>,
) -> Result<Row> {
    let filled = |name: &str, field: Option<String>| {
        let found = if field.is_some() { "nothing but blanks" } else { "no such field" };
        field
            .filter(|field| !field.trim().is_empty())
            .ok_or_else(|| refused(&source, name).expecting("words").but_found(found))
    };
    let mut texts = vec![filled(TEXT, text)?];
    if let Some(pair) = pair {
        texts.push(filled(PAIR, pair)?);
    }
    let label = filled(LABEL, label)?.trim().to_owned();
    Ok(Row { source, texts, label })
}
