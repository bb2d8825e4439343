//! Data files: texts, with labels, with other texts or alone, as CSV, TSV, JSONL or lines. Messages name the file and the line.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use foveate::weights::{open_file, parse_json, read_file};
use foveate::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::limits;
use crate::output;
use crate::run::inputs::{Given, lines_of_file, read_lines, refused};

const LABEL: &str = "label";

/// Characters of a file's own words that messages show.
const SHOWN: usize = 40;

/// A text, or a pair, with its labels.
#[derive(Debug)]
pub(super) struct Row {
    /// The file and the line.
    pub(super) source: String,
    pub(super) texts: Vec<String>,
    pub(super) labels: RowLabels,
}

/// The labels of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowLabels {
    /// None were wanted.
    Unread,
    /// One, as it is.
    One(String),
    /// A list of any number.
    Several(Vec<String>),
}

impl RowLabels {
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Unread => &[],
            Self::One(label) => std::slice::from_ref(label),
            Self::Several(labels) => labels,
        }
    }
}

impl Row {
    /// The text, to be encoded, and what remains.
    pub(super) fn into_given(self) -> (Given, String, RowLabels) {
        let Self { source, texts, labels } = self;
        (Given::of_texts(source.clone(), texts), source, labels)
    }
}

/// What a row must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Texts,
    /// A label, or where there is something to separate them by, any number.
    Labels(Option<&'a str>),
    /// A text and the one to be written about it.
    Targets,
}

impl Wanted<'_> {
    /// What the first text is called, and the second where a row may have one.
    fn texts(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Texts => ("text", None),
            Self::Labels(_) => ("text", Some("pair")),
            Self::Targets => ("source", Some("target")),
        }
    }

    fn needs_second(self) -> bool {
        self == Self::Targets
    }

    fn has_labels(self) -> bool {
        matches!(self, Self::Labels(_))
    }
}

/// All rows of the file at `path`, whose name says what it is. Where there is a `separator`, a row has any number of labels with it between
/// them.
///
/// Fails with the first row that lacks a text or a label, and when there is none.
pub(super) fn labelled(path: &Path, separator: Option<&str>) -> Result<Vec<Row>> {
    some_rows(path, Wanted::Labels(separator))
}

/// All rows of the file at `path`, each a text `source` and the text `target` that is to be written about it.
///
/// Fails with the first row that lacks one of the two, and when there is none.
pub(super) fn targets(path: &Path) -> Result<Vec<Row>> {
    some_rows(path, Wanted::Targets)
}

/// The rows of a file that has at least one.
fn some_rows(path: &Path, wanted: Wanted<'_>) -> Result<Vec<Row>> {
    let source = path.display().to_string();
    match rows(path, wanted) {
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

/// The file at `path` as one text: the texts of its rows, a line each, where its name says that it has rows, else all of it.
///
/// Fails with the first row that lacks a text, and when the file is not UTF-8.
pub(super) fn whole_text(path: &Path) -> Result<String> {
    match rows(path, Wanted::Texts) {
        None => String::from_utf8(read_file(path, limits::TEXT)?).map_err(|error| {
            super::refused(path, "a text in UTF-8", &std::io::Error::other(error.utf8_error()))
        }),
        Some(rows) => {
            let texts: Vec<String> = rows?.into_iter().flat_map(|row| row.texts).collect();
            Ok(texts.join("\n"))
        }
    }
}

/// The rows of a file whose name says that it has some.
fn rows(path: &Path, wanted: Wanted<'_>) -> Option<Result<Vec<Row>>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let source = path.display().to_string();
    let table = |delimiter| {
        let bytes = read_file(path, limits::TEXT)?;
        columns(&Table::new(&source, &bytes), delimiter, wanted)
    };
    Some(match extension.to_ascii_lowercase().as_str() {
        "csv" => table(b','),
        "tsv" => table(b'\t'),
        "jsonl" | "ndjson" | "json" => {
            open_file(path, limits::TEXT).and_then(|file| objects(&source, file, wanted))
        }
        _ => return None,
    })
}

/// A file of rows with columns.
struct Table<'a> {
    source: &'a str,
    bytes: &'a [u8],
    /// Where its lines end.
    ends: Vec<usize>,
}

impl<'a> Table<'a> {
    fn new(source: &'a str, bytes: &'a [u8]) -> Self {
        let ends = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
        Self { source, bytes, ends }
    }

    /// The file and the line that the row at `position` begins on. The parser (csv 1.4) counts what ends the line before, and blank lines
    /// between, as parts of a row.
    fn line(&self, position: &csv::Position) -> String {
        let start = usize::try_from(position.byte()).unwrap_or(usize::MAX).min(self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        format!("{} line {}", self.source, 1 + self.ends.partition_point(|&end| end < start + blank))
    }
}

/// Rows with commas or tabs between their columns, which the first one names.
fn columns(table: &Table<'_>, delimiter: u8, wanted: Wanted<'_>) -> Result<Vec<Row>> {
    // Tabs separate what may hold quotes as they are.
    let quotes = delimiter == b',';
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).quoting(quotes).from_reader(table.bytes);
    let names = reader.headers().map_err(|error| unreadable_row(table, &error))?.clone();
    let refuse = |name: &str| {
        let shown = output::one_line(&names.iter().collect::<Vec<_>>().join(", "), SHOWN);
        refused(&format!("{} line 1", table.source), &format!("column `{name}`"))
            .expecting("it once among the names of the columns")
            .but_found(if shown.is_empty() { "none".to_owned() } else { shown })
    };
    let place = |name: &str| {
        let mut places = (0..names.len()).filter(|&place| names[place].trim() == name);
        match (places.next(), places.next()) {
            (_, Some(_)) => Err(refuse(name)),
            (place, None) => Ok(place),
        }
    };
    let needed = |name: &str| place(name)?.ok_or_else(|| refuse(name));
    let (first, second) = wanted.texts();
    let text = needed(first)?;
    let pair = match second {
        Some(name) if wanted.needs_second() => Some(needed(name)?),
        Some(name) => place(name)?,
        None => None,
    };
    let label = wanted.has_labels().then(|| needed(LABEL)).transpose()?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable_row(table, &error))?;
        let source = record.position().map_or_else(|| table.source.to_owned(), |at| table.line(at));
        let field = |place: usize| record.get(place).map(str::to_owned);
        let label = label.map(|place| field(place).map(Label::Text));
        rows.push(row(source, (field(text), pair.map(field)), label, wanted)?);
    }
    Ok(rows)
}

fn unreadable_row(table: &Table<'_>, error: &csv::Error) -> Error {
    let source = error.position().map_or_else(|| table.source.to_owned(), |at| table.line(at));
    let found = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            return refused(&source, "columns")
                .expecting(format!("{expected_len}, as in the first row"))
                .but_found(len);
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("{err}"),
        _ => format!("{error}"),
    };
    Error::new(ErrorKind::Io, source, "row").expecting("columns in UTF-8").but_found(found)
}

/// One JSON object a line.
fn objects(source: &str, file: File, wanted: Wanted<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    read_lines(source, BufReader::new(file), |source, line| {
        let parsed = parse_json(&source, line.as_bytes()).map_err(|error| {
            // It counts its lines from this one on, which `source` names.
            let column = error.argument().trim_start_matches("line 1, ");
            refused(&source, column).expecting("a JSON object").but_found(error.found())
        })?;
        let Value::Object(fields) = parsed else {
            return Err(refused(&source, "row").expecting("a JSON object").but_found("another value"));
        };
        let field = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(refused(&source, name).expecting("a string").but_found("another value")),
        };
        let (first, second) = wanted.texts();
        let text = field(first)?;
        let label = wanted.has_labels().then(|| label_of(&source, fields.get(LABEL))).transpose()?;
        let second = second.filter(|name| wanted.needs_second() || fields.contains_key(*name));
        let pair = second.map(field).transpose()?;
        rows.push(row(source, (text, pair), label, wanted)?);
        Ok(())
    })?;
    Ok(rows)
}

/// What a file has in the place of a label.
enum Label {
    Text(String),
    List(Vec<String>),
}

/// The label of a JSON object: a string, a number, true or false, or a list of such; none where it is absent.
fn label_of(source: &str, value: Option<&Value>) -> Result<Option<Label>> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(refused(source, LABEL)
            .expecting("a string, a number, or a list of them")
            .but_found("another value")),
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(Label::List(list.iter().map(one).collect::<Result<_>>()?))),
        Some(value) => Ok(Some(Label::Text(one(value)?))),
    }
}

/// A row of which everything is there; the second text only where the file has pairs, `label` where it is wanted.
fn row(
    source: String,
    (text, pair): (Option<String>, Option<Option<String>>),
    label: Option<Option<Label>>,
    wanted: Wanted<'_>,
) -> Result<Row> {
    let filled = |name: &str, field: Option<String>| {
        let found = if field.is_some() { "nothing but blanks" } else { "no such field" };
        field
            .filter(|field| !field.trim().is_empty())
            .ok_or_else(|| refused(&source, name).expecting("words").but_found(found))
    };
    let (first, second) = wanted.texts();
    let mut texts = vec![filled(first, text)?];
    if let (Some(name), Some(pair)) = (second, pair) {
        texts.push(filled(name, pair)?);
    }
    let labels = match (label, wanted) {
        (Some(Some(Label::Text(text))), Wanted::Labels(Some(separator))) => {
            let labels = text.split(separator).map(str::trim).filter(|label| !label.is_empty());
            RowLabels::Several(labels.map(str::to_owned).collect())
        }
        (Some(Some(Label::List(labels))), _) => {
            let labels = labels.into_iter().map(|label| filled(LABEL, Some(label)));
            RowLabels::Several(labels.map(|label| Ok(label?.trim().to_owned())).collect::<Result<_>>()?)
        }
        (Some(Some(Label::Text(text))), _) => RowLabels::One(filled(LABEL, Some(text))?.trim().to_owned()),
        (Some(None), _) => return Err(refused(&source, LABEL).expecting("words").but_found("no such field")),
        (None, _) => RowLabels::Unread,
    };
    Ok(Row { source, texts, labels })
}
