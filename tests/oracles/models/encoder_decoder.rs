//! Models that read a text and write another: hidden states of both, scores of every token, gradients, and generated texts.

use foveate::models::{Model, ResultRows, Task, Tokens};
use foveate::nn::Recorder;
use foveate::{DType, HostTensor, ops};

use super::{Folder, expect_gradients, generated, lengths};
use crate::Result;
use crate::recording::Recording;
use crate::report::Report;

pub(super) fn run(folder: &Folder, task: Task) -> Result<Report> {
    let model = Model::open(&folder.path, task)?;
    let mut recording = Recording::default();
    for weight in model.load(DType::F32)?.iter() {
        let (name, tensor) = weight?;
        recording.parameter(&name, tensor)?;
    }
    let (ids, source) = (folder.input("decoder_input_ids")?, folder.input("input_ids")?);
    let [batch, time]: [usize; 2] = ids.shape().dims().try_into()?;
    let [_, source_time]: [usize; 2] = source.shape().dims().try_into()?;
    let first = model.facts().first_position;
    let tokens = Tokens::rows(&mut recording.graph, [batch, time], first)?;
    let tokens = tokens.with_source(&mut recording.graph, source_time)?;
    let positions = (0..batch * source_time).map(|at| (first + at % source_time) as i32).collect();
    recording.set_input("ids", ids.clone());
    recording.set_input("source_ids", source.clone());
    recording.set_input("source_positions", HostTensor::i32([batch, source_time], positions)?);
    recording.set_input("source_lengths", HostTensor::i32([batch], lengths(folder)?)?);
    let every = (0..batch * time).map(|at| at as i32).collect();
    let rows = recording.input("rows", HostTensor::i32([batch * time], every)?)?;
    let rows = ResultRows { wanted: rows, of_sequences: rows };
    let mut recorder = Recorder::new(&mut recording.graph, DType::F32).with_hidden();
    let results = model.record_results(&mut recorder, &tokens, &rows)?;
    let hidden = recorder.take_hidden();
    folder.expect_hidden(&mut recording, hidden)?;
    for (name, value) in results {
        let width = recording.graph.desc(value)?.shape.dims()[1];
        let value = ops::reshape(&mut recording.graph, value, [batch, time, width])?;
        folder.expect(&mut recording, name, value)?;
        if folder.path.join("grad.safetensors").is_file() {
            expect_gradients(folder, &mut recording, value)?;
        }
    }
    let mut report = recording.check()?;
    if generated::is_there(folder, task) {
        report = report.and(generated::check(folder, &model)?);
    }
    folder.refuse_unread_outputs()?;
    Ok(report)
}
