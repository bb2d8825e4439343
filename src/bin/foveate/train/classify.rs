//! `foveate train classify`: a folder's model to tell labels of texts, one of them or any number.

use std::collections::BTreeSet;
use std::path::Path;

use foveate::models::{self, Encoder, Item, LabelKind, Labels, Model};
use foveate::plan::Watch;
use foveate::tokenize::Tokenizer;
use foveate::train::{Folder, Inputs, Trainer, classification_loss, padded_inputs, result_rows};
use foveate::weights::Fields;
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, Value};

use super::data::{self, Row, RowLabels};
use super::fine_tune::{Job, Recording, Task};
use super::metrics::Judged;
use super::sizes::Sizes;
use super::tasks::{Validation, encode};
use crate::args::TaskName;
use crate::output;
use crate::run::encoding::Input;
use crate::run::inputs::refused;

/// Characters of a list of labels that are shown.
const SHOWN: usize = 200;

/// A text, and the numbers of the labels that it has, ascending.
type Example = (Input, Vec<usize>);

struct Classify {
    folder: Folder,
    labels: Labels,
    training: Vec<Example>,
    validation: Vec<Example>,
}

/// The task of `job`, of whose data rows have one label each, or with a `separator` or in lists any number.
pub(super) fn classify(job: &Job<'_>, separator: Option<&str>) -> Result<Box<dyn Task>> {
    if separator == Some("") {
        return Err(refused("train", "--label-separator")
            .expecting("what is between two labels")
            .but_found("nothing"));
    }
    let from = Validation::of(job)?;
    let rows = data::labelled(job.data_file, separator)?;
    let wanted = labels_of(job, &rows)?;
    let folder = Folder::open(job.folder, models::Task::Classify, Some(&wanted))?;
    let labels = folder.model().labels().cloned().ok_or_else(|| {
        Error::new(ErrorKind::Config, job.folder.display().to_string(), "labels").but_found("none")
    })?;
    tell_new_names(job, &labels)?;
    let tokenizer = Tokenizer::open(job.folder)?;
    let numbered = |rows: Vec<Row>| -> Result<Vec<Example>> {
        let (mut given, mut numbers) = (Vec::new(), Vec::new());
        for row in rows {
            let (text, source, found) = row.into_given();
            given.push(text);
            numbers.push(numbers_of(&source, &found, &labels)?);
        }
        Ok(encode(job, &folder, &tokenizer, (TaskName::Classify, ""), given)?
            .into_iter()
            .zip(numbers)
            .collect())
    };
    let validation = |path: &Path| numbered(data::labelled(path, separator)?);
    let [training, validation] = from.parts(numbered(rows)?, job, validation)?;
    Ok(Box::new(Classify { folder, labels, training, validation }))
}

/// The labels that occur in `rows`: in the order of their names, or of their sizes where all are whole numbers.
///
/// Fails when they are not what the folder's own `problem_type` says they are, and when there is nothing to tell apart.
fn labels_of(job: &Job<'_>, rows: &[Row]) -> Result<Labels> {
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.labels.names()).collect();
    let mut names: Vec<String> = names.into_iter().cloned().collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().ok());
    }
    let is_list = |row: &Row| matches!(row.labels, RowLabels::Several(_));
    let kind = if rows.iter().any(is_list) { LabelKind::Any } else { LabelKind::One };
    check_kind(job, kind, &names)?;
    let source = job.data_file.display().to_string();
    match (kind, &names[..]) {
        (LabelKind::One, [only]) => Err(refused(&source, "label")
            .expecting("at least two labels to tell apart")
            .but_found(format!("`{only}` alone"))),
        (_, []) => Err(refused(&source, "label").expecting("at least one in some row").but_found("none")),
        _ => Ok(Labels { names, kind }),
    }
}

/// Refuses data of another kind than the folder's labels have been of until now, where it is likely not meant.
fn check_kind(job: &Job<'_>, kind: LabelKind, names: &[String]) -> Result<()> {
    let fields = Fields::open(job.folder.join("config.json"))?;
    let own = fields.text_or("problem_type", "")?;
    let source = job.data_file.display().to_string();
    if own == LabelKind::Any.problem_type() && kind == LabelKind::One {
        return Err(refused(&source, "label")
            .expecting(
                "lists in a .jsonl file, or --label-separator, as any number of the folder's labels may hold",
            )
            .but_found("one label a row"));
    }
    if own == LabelKind::Number.problem_type() && names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(Error::new(ErrorKind::Unsupported, job.folder.display().to_string(), "problem_type")
            .expecting("labels to tell apart")
            .but_found("regression, and numbers in the data"));
    }
    Ok(())
}

/// Says so where the folder has names for other labels, whose places these take.
fn tell_new_names(job: &Job<'_>, labels: &Labels) -> Result<()> {
    let fields = Fields::open(job.folder.join("config.json"))?;
    let own = Model::from_config(&fields, models::Task::Classify).ok();
    let own = own.as_ref().and_then(Model::labels).filter(|_| fields.has("id2label"));
    if let Some(own) = own.filter(|own| own.names != labels.names) {
        let [new, old] = [labels, own].map(|labels| output::one_line(&labels.names.join(", "), SHOWN));
        output::note(format!("labels: {new}, in place of the folder's: {old}"));
    }
    Ok(())
}

/// The numbers of the labels of a row that messages call `source`, ascending.
fn numbers_of(source: &str, found: &RowLabels, labels: &Labels) -> Result<Vec<usize>> {
    let number = |label: &String| {
        labels.names.iter().position(|name| name == label).ok_or_else(|| {
            refused(source, "label")
                .expecting(format!("one of {}", labels.names.join(", ")))
                .but_found(format!("`{label}`"))
        })
    };
    if let (LabelKind::One, RowLabels::Several(several)) = (labels.kind, found) {
        return Err(refused(source, "label")
            .expecting("one, as in the rows to train on")
            .but_found(format!("a list of {}", several.len())));
    }
    let numbers: BTreeSet<usize> = found.names().iter().map(number).collect::<Result<_>>()?;
    Ok(numbers.into_iter().collect())
}

/// What an encoder reads of an input.
fn item(input: &Input) -> Item<'_> {
    Item { types: &input.types, ..Item::new(&input.ids) }
}

impl Classify {
    /// The labels of examples as the loss reads them.
    fn targets(&self, examples: &[usize]) -> Result<HostTensor> {
        let held = examples.iter().map(|&number| &self.training[number].1);
        if self.labels.kind == LabelKind::One {
            let labels = held.flatten().map(|&label| label as i32).collect();
            return HostTensor::i32([examples.len()], labels);
        }
        let count = self.labels.names.len();
        let mut targets = vec![0.0; examples.len() * count];
        for (row, held) in held.enumerate() {
            held.iter().for_each(|label| targets[row * count + label] = 1.0);
        }
        HostTensor::f32([examples.len(), count], targets)
    }
}

impl Task for Classify {
    fn folder(&self) -> &Folder {
        &self.folder
    }

    fn lengths(&self) -> Vec<usize> {
        self.training.iter().map(|(input, _)| input.ids.len()).collect()
    }

    fn longest(&self) -> usize {
        self.lengths().into_iter().max().unwrap_or(1)
    }

    fn record(&self, graph: &mut Graph, size: [usize; 2], (dtype, training): Recording) -> Result<Value> {
        classification_loss(graph, self.folder.model(), size, dtype, training)
    }

    fn inputs(&self, examples: &[usize], _: u64, time: usize) -> Result<Inputs> {
        let items: Vec<Item<'_>> = examples.iter().map(|&number| item(&self.training[number].0)).collect();
        let mut inputs = padded_inputs(self.folder.model(), &items, time)?;
        inputs.push(("ends", result_rows(self.folder.model(), &items, time)?));
        inputs.push(("labels", self.targets(examples)?));
        Ok(inputs)
    }

    fn evaluate(&self, trainer: &mut Trainer, _: &Sizes) -> Result<Vec<(&'static str, f64)>> {
        let mut encoder =
            Encoder::with_store(self.folder.model(), trainer.weights(), DType::F32)?.watching(Watch::Outputs);
        let items: Vec<Item<'_>> = self.validation.iter().map(|(input, _)| item(input)).collect();
        let mut judged = Judged::new(&self.labels);
        for (scores, (_, held)) in encoder.run_first(&items)?.iter().zip(&self.validation) {
            judged.add(&scores.to_f32(), held);
        }
        let mut found = vec![("loss", judged.loss()), ("accuracy", judged.accuracy())];
        if self.labels.kind == LabelKind::Any {
            found.push(("micro F1", judged.micro_f1()));
        }
        found.push(("macro F1", judged.macro_f1()));
        Ok(found)
    }
}
