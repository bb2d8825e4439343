//! Texts that a model generates: ids must be equal, and scores as near as the file says.

use foveate::generate::{BeamOptions, Generator, Options, Sampling};
use foveate::models::{Model, Task};
use foveate::runtime::Device;
use foveate::{DType, HostTensor};

use super::{Folder, lengths};
use crate::Result;
use crate::compare::compare;
use crate::devices::context;
use crate::report::Report;

/// Beams of the file's `beam4`.
const BEAMS: usize = 4;

/// What texts go on from.
struct Begun {
    /// Prompts, or source texts of an encoder-decoder.
    prompts: Vec<Vec<u32>>,
    /// What the rows of the file begin with: prompts, padded to the left, or the start token.
    shown: Vec<Vec<u32>>,
    is_encoder_decoder: bool,
}

/// A model on one device, and what was compared there.
struct Run<'f> {
    folder: &'f Folder,
    generator: Generator,
    device: &'static str,
    report: Report,
}

/// Compares what the folder has of greedy continuations, with and without an end token, of those of prompts that differ in their lengths, and of
/// beams.
pub(super) fn check(folder: &Folder, model: &Model) -> Result<Report> {
    let weights = model.load(DType::F32)?;
    let mut report = Report::default();
    for (name, device) in [("gpu", Device::Gpu(context().clone())), ("cpu", Device::Cpu)] {
        let generator = Generator::new(model, &weights, &device)?;
        let mut run = Run { folder, generator, device: name, report };
        run.all().map_err(|error| format!("{name}: {error}"))?;
        report = run.report;
    }
    Ok(report)
}

/// Whether the folder has texts that `task` generates.
pub(super) fn is_there(folder: &Folder, task: Task) -> bool {
    task == Task::Logits && folder.io.names().any(|name| name.starts_with("out.gen."))
}

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let begun = self.begun("prompt", None)?;
        let end = ids(self.folder.input("eos")?).concat();
        self.greedy("greedy", &begun, &[])?;
        self.greedy("greedy_eos", &begun, &end)?;
        if self.folder.io.find("in.left_ids").is_some() {
            let begun = self.begun("left_ids", Some("left_mask"))?;
            self.greedy("left_greedy", &begun, &[])?;
        }
        self.beams("beam4", &begun, &[])?;
        self.beams("beam4_eos", &begun, &end)
    }

    /// What the texts go on from: the input of that name, without what its mask hides; the source texts of an encoder-decoder.
    fn begun(&self, name: &str, mask: Option<&str>) -> Result<Begun> {
        if let Some(texts) = self.generator.model().network().signature().encoder_decoder {
            let sources = ids(self.folder.input("input_ids")?).into_iter().zip(lengths(self.folder)?);
            let prompts: Vec<Vec<u32>> =
                sources.map(|(ids, length)| ids[..length as usize].to_vec()).collect();
            let shown = vec![vec![texts.start]; prompts.len()];
            return Ok(Begun { prompts, shown, is_encoder_decoder: true });
        }
        let shown = ids(self.folder.input(name)?);
        let mut prompts = shown.clone();
        if let Some(mask) = mask {
            for (prompt, flags) in prompts.iter_mut().zip(ids(self.folder.input(mask)?)) {
                let kept = prompt.iter().zip(flags).filter(|(_, flag)| *flag == 1);
                *prompt = kept.map(|(id, _)| *id).collect();
            }
        }
        Ok(Begun { prompts, shown, is_encoder_decoder: false })
    }

    fn compare(&mut self, name: &str, found: &HostTensor) -> Result<()> {
        let output = format!("out.gen.{name}");
        let (rows, bound) = self.folder.demands(&output)?;
        let deviation = compare(&output, found, self.folder.io.get(&output)?, &rows, bound)?;
        self.report.add(self.device, &output, deviation);
        Ok(())
    }

    /// Texts as the file has them: each with padding behind it up to the longest, ids of 0 where the configuration has no other.
    fn compare_texts(&mut self, name: &str, texts: Vec<Vec<u32>>) -> Result<()> {
        let padding = self.folder.config["pad_token_id"].as_f64().unwrap_or(0.0) as i32;
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        let count = texts.len();
        let padded = |text: Vec<u32>| {
            let missing = longest - text.len();
            text.into_iter().map(|id| id as i32).chain(std::iter::repeat_n(padding, missing))
        };
        let found = HostTensor::i32([count, longest], texts.into_iter().flat_map(padded).collect())?;
        self.compare(name, &found)
    }

    fn greedy(&mut self, name: &str, begun: &Begun, stop: &[u32]) -> Result<()> {
        let sampling = Sampling::default();
        let options =
            Options { most: self.most(begun)?, sampling, stop: stop.to_vec(), seed: 0, restarts: false };
        let added = self.generator.generate(&begun.prompts, &options, |_, _| true)?;
        let texts = begun.shown.iter().zip(&added).map(|(shown, added)| [&shown[..], added].concat());
        self.compare_texts(name, texts.collect())?;
        self.scores(&format!("{name}_logits"), name, begun)
    }

    /// How many tokens are added to texts without an end.
    fn most(&self, begun: &Begun) -> Result<usize> {
        Ok(self.folder.io.get("out.gen.greedy")?.shape().dims()[1] - begun.shown[0].len())
    }

    /// Scores of each step, of the tokens that the file's texts go on with.
    fn scores(&mut self, name: &str, texts: &str, begun: &Begun) -> Result<()> {
        let texts = ids(self.folder.io.get(&format!("out.gen.{texts}"))?);
        let (width, time) = (begun.shown[0].len(), texts[0].len());
        let mut streams = match begun.is_encoder_decoder {
            true => self.generator.encode(&begun.prompts, 1, time)?,
            false => self.generator.start(texts.len(), time)?,
        };
        let fresh = if begun.is_encoder_decoder { &begun.shown } else { &begun.prompts };
        let mut fresh: Vec<&[u32]> = fresh.iter().map(Vec::as_slice).collect();
        let mut steps = Vec::new();
        for at in width..time {
            steps.push(self.generator.feed(&mut streams, &fresh)?);
            fresh = texts.iter().map(|text| &text[at..=at]).collect();
        }
        let vocabulary = self.generator.model().facts().vocab_size;
        let of_text = |text: usize| steps.iter().flat_map(move |step| step[text].iter().flatten().copied());
        let scores: Vec<f32> = (0..texts.len()).flat_map(of_text).collect();
        self.compare(name, &HostTensor::f32([texts.len(), steps.len(), vocabulary], scores)?)
    }

    fn beams(&mut self, name: &str, begun: &Begun, stop: &[u32]) -> Result<()> {
        let most = self.most(begun)?;
        let longest = begun.shown[0].len() + most;
        let (mut texts, mut scores) = (Vec::new(), Vec::new());
        for prompt in &begun.prompts {
            let options = BeamOptions { most, beams: BEAMS, length_penalty: 1.0, stop: stop.to_vec() };
            let best =
                self.generator.beams(prompt, &options)?.into_iter().next().ok_or("no text was found")?;
            scores.push(best.score as f32);
            // The file shows the end of a text that has one.
            let end = stop.iter().copied().take(usize::from(best.tokens.len() < longest));
            texts.push(best.tokens.iter().copied().chain(end).collect());
        }
        self.compare_texts(name, texts)?;
        self.compare(&format!("{name}_score"), &HostTensor::f32([scores.len()], scores)?)
    }
}

/// The rows of a matrix of ids.
fn ids(tensor: &HostTensor) -> Vec<Vec<u32>> {
    let width = tensor.shape().dims().last().copied().unwrap_or(1);
    tensor.to_f64().chunks(width).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
}
