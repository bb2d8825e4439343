//! Checkpoint folders against outputs and gradients of Hugging Face transformers: `config.json`, `model.safetensors`, `io.safetensors` with inputs
//! `in.<name>` and outputs `out.<name>`, `meta.json`, which says which rows of an output count and how far off it may be, and `grad.safetensors`.
//!
//! [`FAMILIES`] is the table: what computes the outputs of an architecture.

mod encoder_decoder;
mod generated;
mod packed;
mod segments;
mod sound;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foveate::models::{Input, Model, ResultRows, Task, Tokens};
use foveate::nn::Recorder;
use foveate::ops::attention::global_tokens;
use foveate::ops::{self, CrossEntropy};
use foveate::{DType, Graph, HostTensor, TensorDesc, Value};
use serde_json::Value as Json;

use crate::compare::{Bound, OF_LARGEST, Rows};
use crate::file::{Tensors, numbers};
use crate::recording::Recording;
use crate::report::Report;
use crate::{Found, Result};

/// What computes the outputs of one architecture.
struct Family {
    model_type: &'static str,
    architecture: &'static str,
    /// What the model is asked for.
    task: Task,
    /// Inputs that `run` reads, with `#` for a number.
    reads: &'static [&'static str],
    /// What the names of outputs that it computes begin with.
    outputs: &'static [&'static str],
    run: fn(&Folder, Task) -> Result<Report>,
}

const fn family(model_type: &'static str, architecture: &'static str, task: Task) -> Family {
    Family {
        model_type,
        architecture,
        task,
        reads: &["input_ids", "attention_mask", "token_type_ids", "labels"],
        outputs: &["out.logits", "out.hidden."],
        run: text,
    }
}

/// A family some of whose tokens see all others.
const fn with_globals(family: Family) -> Family {
    Family {
        reads: &["input_ids", "attention_mask", "token_type_ids", "global_attention_mask", "labels"],
        ..family
    }
}

/// A family that reads a text and writes another.
const fn encoder_decoder(model_type: &'static str, architecture: &'static str) -> Family {
    Family {
        reads: &["input_ids", "attention_mask", "decoder_input_ids", "labels"],
        outputs: &["out.logits"],
        run: encoder_decoder::run,
        ..family(model_type, architecture, Task::Logits)
    }
}

/// A family that reads sound.
const fn sound(model_type: &'static str, architecture: &'static str, task: Task) -> Family {
    Family {
        reads: &["input_values", "attention_mask"],
        outputs: &["out.logits", "out.last_hidden_state", "out.hidden."],
        run: sound::run,
        ..family(model_type, architecture, task)
    }
}

/// A family whose tokens see those of their buckets.
const fn hashing(family: Family) -> Family {
    Family { outputs: &["out.logits", "out.hidden.", "out.buckets."], run: dependent, ..family }
}

const FAMILIES: &[Family] = &[
    family("albert", "AlbertForMaskedLM", Task::Logits),
    family("albert", "AlbertForPreTraining", Task::Pretrain),
    family("albert", "AlbertForSequenceClassification", Task::Classify),
    family("bert", "BertForMaskedLM", Task::Logits),
    family("bert", "BertForPreTraining", Task::Pretrain),
    family("bert", "BertForQuestionAnswering", Task::Answer),
    family("bert", "BertForSequenceClassification", Task::Classify),
    family("bert", "BertForTokenClassification", Task::Label),
    family("convbert", "ConvBertForMaskedLM", Task::Logits),
    family("deberta", "DebertaForMaskedLM", Task::Logits),
    family("deberta-v2", "DebertaV2ForMaskedLM", Task::Logits),
    family("deberta-v2", "DebertaV2ForSequenceClassification", Task::Classify),
    family("gpt2", "GPT2ForSequenceClassification", Task::Classify),
    family("gpt2", "GPT2LMHeadModel", Task::Logits),
    with_globals(family("longformer", "LongformerForMaskedLM", Task::Logits)),
    with_globals(family("longformer", "LongformerForQuestionAnswering", Task::Answer)),
    with_globals(family("longformer", "LongformerForSequenceClassification", Task::Classify)),
    Family { run: dependent, ..family("nystromformer", "NystromformerForMaskedLM", Task::Logits) },
    hashing(family("reformer", "ReformerForMaskedLM", Task::Logits)),
    hashing(family("reformer", "ReformerModelWithLMHead", Task::Logits)),
    family("roberta", "RobertaForMaskedLM", Task::Logits),
    family("roberta", "RobertaForSequenceClassification", Task::Classify),
    family("squeezebert", "SqueezeBertForMaskedLM", Task::Logits),
    family("squeezebert", "SqueezeBertForSequenceClassification", Task::Classify),
    encoder_decoder("t5", "T5ForConditionalGeneration"),
    Family {
        reads: &["seg#_input_ids", "labels"],
        outputs: &["out.seg1.log_probs"],
        run: segments::run,
        ..family("transfo-xl", "TransfoXLLMHeadModel", Task::Logits)
    },
    sound("wav2vec2-conformer", "Wav2Vec2ConformerForCTC", Task::Transcribe),
    sound("wav2vec2-conformer", "Wav2Vec2ConformerModel", Task::Hidden),
];

/// Inputs of generated texts.
const OF_GENERATION: &[&str] = &["eos", "left_ids", "left_mask", "prompt"];

/// A checkpoint with its inputs and outputs.
struct Folder {
    path: PathBuf,
    config: Json,
    meta: Json,
    io: Tensors,
}

/// The test of the folder at `path`, if a family computes its outputs from its inputs.
pub(crate) fn find(path: &Path) -> Result<Found> {
    if !path.join("config.json").is_file() {
        return Ok(Found::Missing);
    }
    let folder = Folder::open(path)?;
    let family = FAMILIES.iter().find(|family| {
        family.model_type == folder.config["model_type"]
            && folder.config["architectures"][0] == family.architecture
            && folder.inputs().all(|name| {
                let is_read = |pattern: &&str| numbers(pattern, name).is_some();
                family.reads.iter().chain(OF_GENERATION).any(is_read)
            })
            && folder.io.names().any(|name| family.outputs.iter().any(|output| name.starts_with(output)))
    });
    let Some(&Family { task, run, .. }) = family else { return Ok(Found::Missing) };
    let path = path.to_owned();
    Ok(Found::test(move || run(&Folder::open(&path)?, task)))
}

impl Folder {
    fn open(path: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Json> {
            let bytes = std::fs::read(path.join(name)).map_err(|error| format!("{name}: {error}"))?;
            Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{name}: {error}"))?)
        };
        let io = Tensors::open(&path.join("io.safetensors"))
            .map_err(|error| format!("io.safetensors: {error}"))?;
        Ok(Self { path: path.to_owned(), config: json("config.json")?, meta: json("meta.json")?, io })
    }

    fn inputs(&self) -> impl Iterator<Item = &str> {
        self.io.names().filter_map(|name| name.strip_prefix("in."))
    }

    fn input(&self, name: &str) -> Result<&HostTensor> {
        self.io.get(&format!("in.{name}"))
    }

    /// Random numbers that the file was made with.
    fn draws(&self, graph: &mut Graph) -> Result<Vec<(String, Value)>> {
        let names: Vec<&str> = self.io.names().filter_map(|name| name.strip_prefix("rand.")).collect();
        names
            .into_iter()
            .map(|name| {
                let drawn = self.io.get(&format!("rand.{name}"))?.clone();
                Ok((name.to_owned(), ops::constant(graph, drawn)?))
            })
            .collect()
    }

    /// The number behind `words` in a note of meta.json that has `about`.
    fn noted(&self, about: &str, words: &str) -> Option<f64> {
        let notes = self.meta["notes"].as_array().into_iter().flatten().filter_map(Json::as_str);
        notes.filter(|note| note.contains(about)).find_map(|note| {
            let behind = note.split_once(words)?.1;
            let end = behind.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(behind.len());
            behind[..end].trim_end_matches('.').parse().ok()
        })
    }

    /// Which rows of an output count, and how far off it may be.
    fn demands(&self, output: &str) -> Result<(Rows, Bound)> {
        let meta = &self.meta["outputs"][output];
        let rows = match meta["rows"].as_str() {
            Some("all") => Rows::All,
            Some(mask) => {
                let kept = self.io.get(mask)?.to_f64().into_iter().map(|flag| flag != 0.0).collect();
                Rows::Of { axis: 1, kept }
            }
            None => return Err(format!("meta.json does not say which rows of {output} count").into()),
        };
        let absolute = meta["atol"].as_f64();
        if absolute.is_none() && meta["exact"].is_null() {
            return Err(format!("meta.json has neither `atol` nor `exact` of {output}").into());
        }
        Ok((rows, Bound { of_largest: OF_LARGEST, absolute, of_zero: None }))
    }

    /// Hands `value` out as one of the file's outputs.
    fn expect(&self, recording: &mut Recording, output: &str, value: Value) -> Result<()> {
        let output = format!("out.{output}");
        let (rows, bound) = self.demands(&output)?;
        recording.expect(&output, value, self.io.get(&output)?.clone(), rows, bound)
    }

    /// Hands out those hidden states that the file has: some classes of models give none.
    fn expect_hidden(&self, recording: &mut Recording, hidden: Vec<(String, Value)>) -> Result<()> {
        for (name, value) in hidden {
            if self.io.names().any(|known| known.strip_prefix("out.") == Some(&name)) {
                self.expect(recording, &name, value)?;
            }
        }
        Ok(())
    }

    /// Refuses outputs and states that nobody asked for: the test would seem to hold them.
    fn refuse_unread_outputs(&self) -> Result<()> {
        let is_output =
            |name: &String| ["out.", "state."].iter().any(|kind| name.contains(&format!("`{kind}")));
        let unread: Vec<String> = self.io.unread().filter(is_output).collect();
        if unread.is_empty() {
            return Ok(());
        }
        Err(format!("this test does not compute {}", unread.join(", ")).into())
    }
}

/// All hidden states, and the results of a task, which the file calls as the model does; where the folder has gradients, those of the mean
/// cross-entropy of the scores at `labels`.
fn text(folder: &Folder, task: Task) -> Result<Report> {
    let model = Model::open(&folder.path, task)?;
    let mut report = in_batch(folder, &model, task)?.and(packed::check(folder, &model, task)?);
    if generated::is_there(folder, task) {
        report = report.and(generated::check(folder, &model)?);
    }
    folder.refuse_unread_outputs()?;
    Ok(report)
}

/// [`text`] of a family in which a text's results depend on its padding and on the texts beside it, so that none can be compared alone.
fn dependent(folder: &Folder, task: Task) -> Result<Report> {
    let report = in_batch(folder, &Model::open(&folder.path, task)?, task)?;
    folder.refuse_unread_outputs()?;
    Ok(report)
}

/// The folder's batch as it is.
fn in_batch(folder: &Folder, model: &Model, task: Task) -> Result<Report> {
    let mut recording = Recording::default();
    for weight in model.load(DType::F32)?.iter() {
        let (name, tensor) = weight?;
        recording.parameter(&name, tensor)?;
    }
    let (tokens, [batch, time]) = padded(folder, model, &mut recording)?;
    let every = (0..batch * time).map(|at| at as i32).collect();
    let rows = ResultRows {
        wanted: recording.input("rows", HostTensor::i32([batch * time], every)?)?,
        of_sequences: recording.input("ends", ends(folder, model)?)?,
    };
    let draws = folder.draws(&mut recording.graph)?;
    let mut recorder = Recorder::new(&mut recording.graph, DType::F32).with_hidden().with_draws(draws);
    let results = model.record_results(&mut recorder, &tokens, &rows)?;
    let mut hidden = recorder.take_hidden();
    for (_, value) in hidden.iter_mut().filter(|(name, _)| name.starts_with("buckets.")) {
        *value = buckets_in_rounds(folder, &mut recording, *value)?;
    }
    folder.expect_hidden(&mut recording, hidden)?;
    for (name, value) in results {
        let [count, width]: [usize; 2] = recording.graph.desc(value)?.shape.dims().try_into()?;
        let shape = if count == batch { vec![batch, width] } else { vec![batch, time, width] };
        let value = ops::reshape(&mut recording.graph, value, shape)?;
        if task == Task::Answer {
            for (place, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
                let column = ops::slice(&mut recording.graph, value, 2, place..place + 1)?;
                let column = ops::reshape(&mut recording.graph, column, [batch, time])?;
                folder.expect(&mut recording, name, column)?;
            }
            continue;
        }
        folder.expect(&mut recording, name, value)?;
        if folder.path.join("grad.safetensors").is_file() {
            expect_gradients(folder, &mut recording, value)?;
        }
    }
    recording.check()
}

/// `buckets: [batch, heads, rounds, time]` as the folder has them: one round behind the other, each filled up to whole chunks with a bucket of
/// padding, and the numbers of a round behind those of the round before.
fn buckets_in_rounds(folder: &Folder, recording: &mut Recording, buckets: Value) -> Result<Value> {
    let graph = &mut recording.graph;
    let [batch, heads, rounds, time]: [usize; 4] = graph.desc(buckets)?.shape.dims().try_into()?;
    let chunk = folder.config["lsh_attn_chunk_length"].as_u64().ok_or("no chunk")? as usize;
    let count = folder.config["num_buckets"].as_u64().ok_or("no number of buckets")? as f32;
    let slots = time.next_multiple_of(chunk);
    let buckets = ops::cast(graph, buckets, DType::F32)?;
    let empty = ops::fill(graph, TensorDesc::f32([batch, heads, rounds, slots - time]), count)?;
    let filled = ops::concat(graph, &[buckets, empty], 3)?;
    let offsets = (0..rounds).map(|round| round as f32 * (count + 1.0)).collect();
    let offsets = ops::constant(graph, HostTensor::f32([rounds, 1], offsets)?)?;
    let all = ops::add(graph, filled, offsets)?;
    Ok(ops::reshape(graph, all, [batch, heads, rounds * slots])?)
}

/// Numbers through the batch of the token that stands for each whole sequence: the first; of a causal model the last before the first padding
/// id, or the last of all where there is none before which a token is.
fn ends(folder: &Folder, model: &Model) -> Result<HostTensor> {
    let ids = folder.input("input_ids")?;
    let time = ids.shape().dims()[1];
    let padding = folder.config["pad_token_id"].as_f64();
    let end = |(item, ids): (usize, &[f64])| {
        let length = ids.iter().position(|&id| Some(id) == padding).filter(|&at| at > 0).unwrap_or(time);
        let place = if model.network().signature().is_causal { length - 1 } else { 0 };
        (item * time + place) as i32
    };
    let ends: Vec<i32> = ids.to_f64().chunks(time).enumerate().map(end).collect();
    Ok(HostTensor::i32([ends.len()], ends)?)
}

/// Tokens of each text, of which padding must be behind: all of them where the file has no mask.
fn lengths(folder: &Folder) -> Result<Vec<i32>> {
    let [batch, time]: [usize; 2] = folder.input("input_ids")?.shape().dims().try_into()?;
    let Some(mask) = folder.io.find("in.attention_mask") else { return Ok(vec![time as i32; batch]) };
    let mask = mask.to_f64();
    let lengths: Vec<i32> = mask.chunks(time).map(|item| item.iter().sum::<f64>() as i32).collect();
    let is_behind = |(item, &length): (&[f64], &i32)| item[..length as usize].iter().all(|&flag| flag == 1.0);
    if !mask.chunks(time).zip(&lengths).all(is_behind) {
        return Err("the attention mask has padding before tokens".into());
    }
    Ok(lengths)
}

/// Places of global tokens as the folder marks them, else those of the model's task: `[batch, count]`.
fn globals(folder: &Folder, model: &Model) -> Result<HostTensor> {
    let ids = folder.input("input_ids")?;
    let time = ids.shape().dims()[1];
    let marked = |item: &[f64]| (0..time).filter(|&at| item[at] != 0.0).collect();
    let default = |ids: &[f64]| model.default_globals(&ids.iter().map(|&id| id as u32).collect::<Vec<_>>());
    let lists: Vec<Vec<usize>> = match folder.io.find("in.global_attention_mask") {
        Some(mask) => mask.to_f64().chunks(time).map(marked).collect(),
        None => ids.to_f64().chunks(time).map(default).collect(),
    };
    Ok(global_tokens(&lists, time)?)
}

/// The folder's tokens as a padded batch, `[batch, time]`.
fn padded(folder: &Folder, model: &Model, recording: &mut Recording) -> Result<(Tokens, [usize; 2])> {
    let ids = folder.input("input_ids")?;
    let [batch, time]: [usize; 2] = ids.shape().dims().try_into()?;
    let mut tokens = Tokens::padded(&mut recording.graph, batch, time)?;
    if model.network().signature().reads(Input::Globals) {
        let globals = globals(folder, model)?;
        tokens = tokens.with_globals(&mut recording.graph, globals.shape().dims()[1])?;
        recording.set_input("globals", globals);
    }
    let first = model.facts().first_position;
    let positions = (0..batch * time).map(|at| (first + at % time) as i32).collect();
    let types = match folder.io.find("in.token_type_ids") {
        Some(types) => types.clone(),
        None => HostTensor::i32([batch, time], vec![0; batch * time])?,
    };
    recording.set_input("ids", ids.clone());
    recording.set_input("positions", HostTensor::i32([batch, time], positions)?);
    recording.set_input("types", types);
    recording.set_input("lengths", HostTensor::i32([batch], lengths(folder)?)?);
    Ok((tokens, [batch, time]))
}

/// The loss at the folder's labels, and its gradients.
fn expect_gradients(folder: &Folder, recording: &mut Recording, logits: Value) -> Result<()> {
    let labels = recording.input("labels", folder.input("labels")?.clone())?;
    let loss = ops::cross_entropy(&mut recording.graph, logits, labels, &CrossEntropy::new())?;
    for Expected { name, value, tensor, bound } in gradients(folder, &mut recording.graph, loss)? {
        recording.expect(&name, value, tensor, Rows::All, bound)?;
    }
    Ok(())
}

/// What a value must be.
struct Expected {
    name: String,
    value: Value,
    tensor: HostTensor,
    bound: Bound,
}

/// A loss, and its gradient of every parameter, by the parameters' names. Those of weights that change nothing are 0 in theory and must be so to
/// `atol`.
fn gradients(folder: &Folder, graph: &mut Graph, loss: Value) -> Result<Vec<Expected>> {
    let expected = Tensors::open(&folder.path.join("grad.safetensors"))
        .map_err(|error| format!("grad.safetensors: {error}"))?;
    let bound = Bound::of_largest(OF_LARGEST);
    let tensor = expected.get("loss")?.clone();
    let mut all = vec![Expected { name: "loss".to_owned(), value: loss, tensor, bound }];
    let weights: BTreeMap<String, Value> = graph.parameters().iter().cloned().collect();
    let gradients = graph.gradients(loss, &weights.values().copied().collect::<Vec<_>>())?;
    let without_effect = folder.meta["tensors_without_effect"].as_array().cloned().unwrap_or_default();
    for (name, value) in weights.into_keys().zip(gradients) {
        let has_effect = !without_effect.contains(&Json::from(name.as_str()));
        let of_zero = if has_effect { None } else { folder.meta["grad"]["atol"].as_f64() };
        let (tensor, bound) = (expected.get(&name)?.clone(), Bound { of_zero, ..bound });
        all.push(Expected { name: format!("gradient {name}"), value, tensor, bound });
    }
    match expected.unread().next() {
        Some(unread) => Err(format!("grad.safetensors: no parameter for {unread}").into()),
        None => Ok(all),
    }
}
