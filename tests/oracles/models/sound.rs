//! Models of sound: hidden states and results of every frame of a batch as it is, and of each sound that has no padding by itself.

use foveate::models::{Device, Model, Sound, SoundEncoder, Task};
use foveate::nn::Recorder;
use foveate::{DType, HostTensor};

use super::Folder;
use crate::Result;
use crate::compare::compare;
use crate::devices::context;
use crate::recording::Recording;
use crate::report::Report;

pub(super) fn run(folder: &Folder, task: Task) -> Result<Report> {
    let model = Model::open(&folder.path, task)?;
    let report = in_batch(folder, &model)?.and(alone(folder, &model)?);
    folder.refuse_unread_outputs()?;
    Ok(report)
}

/// What the file calls the results of `task`.
fn output_of(task: Task) -> &'static str {
    if task == Task::Hidden { "last_hidden_state" } else { "logits" }
}

/// Samples of each sound, of which padding must be behind: all of them where the file has no mask.
fn lengths(folder: &Folder) -> Result<Vec<usize>> {
    let [batch, samples]: [usize; 2] = folder.input("input_values")?.shape().dims().try_into()?;
    let Some(mask) = folder.io.find("in.attention_mask") else { return Ok(vec![samples; batch]) };
    let mask = mask.to_f64();
    let count = |item: &[f64]| item.iter().filter(|&&flag| flag != 0.0).count();
    if mask.chunks(samples).any(|item| item[..count(item)].contains(&0.0)) {
        return Err("the attention mask has padding before samples".into());
    }
    Ok(mask.chunks(samples).map(count).collect())
}

fn in_batch(folder: &Folder, model: &Model) -> Result<Report> {
    let mut recording = Recording::default();
    for weight in model.load(DType::F32)?.iter() {
        let (name, tensor) = weight?;
        recording.parameter(&name, tensor)?;
    }
    let frames = model.network().signature().sound.ok_or("the model does not read sound")?;
    let values = folder.input("input_values")?;
    let [batch, samples]: [usize; 2] = values.shape().dims().try_into()?;
    let lengths = lengths(folder)?;
    let sound = if folder.io.find("in.attention_mask").is_some() {
        let lengths = lengths.iter().map(|&length| frames.count(length) as i32).collect();
        recording.set_input("lengths", HostTensor::i32([batch], lengths)?);
        Sound::padded(&mut recording.graph, &frames, [batch, samples])?
    } else {
        Sound::whole(&mut recording.graph, &frames, [batch, samples])?
    };
    recording.set_input("sound", HostTensor::f32([batch, samples, 1], values.to_f32())?);
    let mut recorder = Recorder::new(&mut recording.graph, DType::F32).with_hidden();
    let results = model.record_sound(&mut recorder, &sound)?;
    let hidden = recorder.take_hidden();
    folder.expect_hidden(&mut recording, hidden)?;
    let [(_, result)] = results[..] else { return Err("the model has not one result".into()) };
    folder.expect(&mut recording, output_of(model.task()), result)?;
    recording.check()
}

/// Sounds without padding, one by one.
fn alone(folder: &Folder, model: &Model) -> Result<Report> {
    let output = format!("out.{}", output_of(model.task()));
    let expected = folder.io.get(&output)?;
    let [_, frames, width]: [usize; 3] = expected.shape().dims().try_into()?;
    let expected = expected.to_f32();
    let values = folder.input("input_values")?;
    let samples = values.shape().dims()[1];
    let values = values.to_f32();
    let (rows, bound) = folder.demands(&output)?;
    let mut report = Report::default();
    for (name, device) in [("gpu", Device::Gpu(context().clone())), ("cpu", Device::Cpu)] {
        let mut encoder = SoundEncoder::new(model, &model.load(DType::F32)?, &device)?;
        for (item, _) in lengths(folder)?.iter().enumerate().filter(|(_, length)| **length == samples) {
            let found = encoder.run(&[&values[item * samples..][..samples]])?.remove(0);
            let of_item = expected[item * frames * width..][..frames * width].to_vec();
            let label = format!("{output} of {item} alone");
            let of_item = HostTensor::f32([frames, width], of_item)?;
            let deviation = compare(&label, &found, &of_item, &rows, bound)
                .map_err(|error| format!("{name}: {error}"))?;
            report.add(name, &label, deviation);
        }
    }
    Ok(report)
}
