//! Data files: texts, with labels or without, as CSV, TSV, JSONL or lines. Messages name the file and the line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use foveate::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::output;
use crate::run::inputs::{Given, lines_of_file, read_lines, refused, unreadable};

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
    /// Nothing where no label was wanted.
    pub(super) label: String,
}

impl Row {
    /// The text, to be encoded, and what remains.
    pub(super) fn into_given(self) -> (Given, String, String) {
        let Self { source, texts, label } = self;
        (Given::of_texts(source.clone(), texts), source, label)
    }
}

/// What a row must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Texts,
    Labels,
}

/// All rows of the file at `path`, whose name says what it is.
///
/// Fails with the first row that lacks a text or a label, and when there is none.
pub(super) fn labelled(path: &Path) -> Result<Vec<Row>> {
    let source = path.display().to_string();
    match rows(path, Wanted::Labels) {
        None => Err(Error::new(ErrorKind::Argument, "train", source)
            .expecting("a name that ends in .csv, .tsv or .jsonl")
            .but_found("another")),
        Some(Ok(rows)) if rows.is_empty() => {
            Err(refused(&source, "rows").expecting("at least one").but_found("none"))
        }
        Some(rows) => rows,
    }
}

/// All texts of the file at `path`, as [`labelled`] reads them but for labels; the lines of a file of another name.
///
/// Fails with the first row that lacks a text, and when there is none.
pub(super) fn texts(path: &Path) -> Result<Vec<Given>> {
    let given: Vec<Given> = match rows(path, Wanted::Texts) {
        None => lines_of_file(path)?,
        Some(rows) => rows?.into_iter().map(|row| row.into_given().0).collect(),
    };
    if given.is_empty() {
        let source = path.display().to_string();
        return Err(refused(&source, "lines").expecting("at least one with a text").but_found("none"));
    }
    Ok(given)
}

/// The rows of a file whose name says that it has some.
fn rows(path: &Path, wanted: Wanted) -> Option<Result<Vec<Row>>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let source = path.display().to_string();
    let file = || File::open(path).map_err(|error| unreadable(&source, &error));
    Some(match extension.to_ascii_lowercase().as_str() {
        "csv" => file().and_then(|file| columns(&source, file, b',', wanted)),
        "tsv" => file().and_then(|file| columns(&source, file, b'\t', wanted)),
        "jsonl" | "ndjson" | "json" => file().and_then(|file| objects(&source, file, wanted)),
        _ => return None,
    })
}

/// Rows with commas or tabs between their columns, which the first one names.
fn columns(source: &str, file: File, delimiter: u8, wanted: Wanted) -> Result<Vec<Row>> {
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
    let label = match wanted {
        Wanted::Labels => Some(place(LABEL).ok_or_else(|| missing(LABEL))?),
        Wanted::Texts => None,
    };
    let pair = if wanted == Wanted::Labels { place(PAIR) } else { None };
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable_row(source, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |place: usize| record.get(place).map(str::to_owned);
        let source = format!("{source} line {line}");
        rows.push(row(source, field(text), pair.map(field), label.map(field))?);
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
fn objects(source: &str, file: File, wanted: Wanted) -> Result<Vec<Row>> {
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
        let text = field(TEXT, false)?;
        let labelled = wanted == Wanted::Labels;
        let label = labelled.then(|| field(LABEL, true)).transpose()?;
        let has_pair = labelled && fields.contains_key(PAIR);
        let pair = has_pair.then(|| field(PAIR, false)).transpose()?;
        rows.push(row(source, text, pair, label)?);
        Ok(())
    })?;
    Ok(rows)
}

/// A row of which everything is there; `pair` only where the file has pairs, `label` where it is wanted.
fn row(
    source: String,
    text: Option<String>,
    pair: Option<Option<String>>,
    label: Option<Option<String>>,
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
    let label = match label {
        Some(label) => filled(LABEL, label)?.trim().to_owned(),
        None => String::new(),
    };
    Ok(Row { source, texts, label })
}
