//! Texts that a model generates: ids must be equal, and scores as near as the file says.

use foveate::generate::{BeamOptions, Generator, Options, Sampling, Streams};
use foveate::models::{Model, Task};
use foveate::runtime::Device;
use foveate::{DType, HostTensor};

use super::{Folder, lengths};
use crate::Result;
use crate::compare::compare;
use crate::devices::context;
use crate::file::numbers;
use crate::report::Report;

/// What outputs of generated texts are called, before the kind of text.
const TEXTS: &str = "out.gen.";

/// Scores that a sampler has changed, and which tokens it keeps.
const WARPED: [&str; 2] = ["out.warped_keep", "out.warped_logits"];

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

/// Compares what the folder has of greedy continuations, with and without an end token, of those of prompts that differ in their lengths, of
/// beams, and of scores that a sampler has changed.
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
    task == Task::Logits && folder.io.names().any(|name| name.starts_with(TEXTS) || WARPED.contains(&name))
}

impl Run<'_> {
    fn all(&mut self) -> Result<()> {
        let names: Vec<&str> = self.folder.io.names().filter_map(|name| name.strip_prefix(TEXTS)).collect();
        for name in names {
            let (kind, end) = match name.strip_suffix("_eos") {
                Some(kind) => (kind, ids(self.folder.input("eos")?).concat()),
                None => (name, Vec::new()),
            };
            match (kind, numbers("beam#", kind).as_deref()) {
                ("greedy", _) => self.greedy(name, &self.begun("prompt", None)?, &end)?,
                ("left_greedy", _) => self.greedy(name, &self.begun("left_ids", Some("left_mask"))?, &end)?,
                (_, Some(&[beams])) => {
                    self.beams(name, &self.begun("prompt", None)?, beams as usize, &end)?
                }
                // Scores of texts, which are compared with these.
                _ => {}
            }
        }
        if self.folder.io.names().any(|name| WARPED.contains(&name)) {
            self.warped()?;
        }
        Ok(())
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

    fn compare(&mut self, output: &str, found: &HostTensor) -> Result<()> {
        let (rows, bound) = self.folder.demands(output)?;
        let deviation = compare(output, found, self.folder.io.get(output)?, &rows, bound)?;
        self.report.add(self.device, output, deviation);
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
        self.compare(&format!("{TEXTS}{name}"), &found)
    }

    fn greedy(&mut self, name: &str, begun: &Begun, stop: &[u32]) -> Result<()> {
        let sampling = Sampling::default();
        let options = Options::new(self.most(begun)?).sampling(sampling).stop(stop);
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
        let texts = self.texts(texts)?;
        let steps = self.steps(&texts, begun)?;
        let vocabulary = self.generator.model().facts().vocab_size;
        let of_text = |text: usize| steps.iter().flat_map(move |step| step[text].iter().copied());
        let scores: Vec<f32> = (0..texts.len()).flat_map(of_text).collect();
        let scores = HostTensor::f32([texts.len(), steps.len(), vocabulary], scores)?;
        self.compare(&format!("{TEXTS}{name}"), &scores)
    }

    /// The file's texts of that name.
    fn texts(&self, name: &str) -> Result<Vec<Vec<u32>>> {
        Ok(ids(self.folder.io.get(&format!("{TEXTS}{name}"))?))
    }

    /// What the model makes of each token of `texts` behind those that the file shows: of every step, the scores of each text.
    fn steps(&mut self, texts: &[Vec<u32>], begun: &Begun) -> Result<Vec<Vec<Vec<f32>>>> {
        let (width, time) = (begun.shown[0].len(), texts[0].len());
        let mut streams = match begun.is_encoder_decoder {
            true => self.generator.encode(&begun.prompts, 1, time)?,
            false => self.generator.start(texts.len(), time)?,
        };
        let fresh = if begun.is_encoder_decoder { &begun.shown } else { &begun.prompts };
        let mut fresh: Vec<&[u32]> = fresh.iter().map(Vec::as_slice).collect();
        let mut steps = Vec::new();
        for at in width..time {
            steps.push(self.feed(&mut streams, &fresh)?);
            fresh = texts.iter().map(|text| &text[at..=at]).collect();
        }
        Ok(steps)
    }

    /// Scores of what comes behind the last of each stream's tokens.
    fn feed(&mut self, streams: &mut Streams, tokens: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let scores = self.generator.feed(streams, tokens)?.into_iter();
        scores.map(|scores| scores.ok_or_else(|| "a stream without scores".into())).collect()
    }

    fn beams(&mut self, name: &str, begun: &Begun, beams: usize, stop: &[u32]) -> Result<()> {
        let most = self.most(begun)?;
        let longest = begun.shown[0].len() + most;
        let length_penalty = self.length_penalty(name, begun, stop)?;
        let (mut texts, mut scores) = (Vec::new(), Vec::new());
        for prompt in &begun.prompts {
            let options = BeamOptions::new(most, beams).length_penalty(length_penalty).stop(stop);
            let best =
                self.generator.beams(prompt, &options)?.into_iter().next().ok_or("no text was found")?;
            scores.push(best.score as f32);
            // The file shows the end of a text that has one.
            let end = stop.iter().copied().take(usize::from(best.tokens.len() < longest));
            texts.push(best.tokens.iter().copied().chain(end).collect());
        }
        self.compare_texts(name, texts)?;
        self.compare(&format!("{TEXTS}{name}_score"), &HostTensor::f32([scores.len()], scores)?)
    }

    /// What the file's lengths were raised to, in hundredths: no field says it, but the longest text's log-probability over its score does.
    fn length_penalty(&mut self, name: &str, begun: &Begun, stop: &[u32]) -> Result<f32> {
        let texts = self.texts(name)?;
        let steps = self.steps(&texts, begun)?;
        let scores = self.folder.io.get(&format!("{TEXTS}{name}_score"))?.to_f64();
        let width = begun.shown[0].len();
        let mut longest = (1, 1.0);
        for (item, (text, score)) in texts.iter().zip(scores).enumerate() {
            let end = text[width..].iter().position(|id| stop.contains(id)).map(|at| width + at);
            let length = end.unwrap_or(text.len());
            // The end has a probability and does not count as length.
            let added = width..end.map_or(text.len(), |end| end + 1);
            let sum: f64 = added.map(|at| log_probability(&steps[at - width][item], text[at])).sum();
            if length > longest.0 {
                longest = (length, (sum / score).ln() / (length as f64).ln());
            }
        }
        Ok(((longest.1 * 100.0).round() / 100.0) as f32)
    }

    /// Which tokens a sampler keeps, and their scores, with the settings and at the position that the notes name.
    fn warped(&mut self) -> Result<()> {
        let noted = |words: &str| {
            let number = self.folder.noted(WARPED[1], words);
            number.ok_or_else(|| format!("no note says the number behind `{words}`"))
        };
        let sampling = Sampling {
            temperature: noted("temperature ")? as f32,
            top_k: noted("top-k ")? as usize,
            top_p: noted("top-p ")? as f32,
            ..Sampling::default()
        };
        let position = noted("out.logits[:, ")? as usize;
        let texts = ids(self.folder.input("input_ids")?);
        let begun: Vec<&[u32]> = texts.iter().map(|text| &text[..=position]).collect();
        let mut streams = self.generator.start(texts.len(), position + 1)?;
        let (mut keeps, mut warped) = (Vec::new(), Vec::new());
        for scores in self.feed(&mut streams, &begun)? {
            let start = keeps.len();
            keeps.resize(start + scores.len(), 0);
            warped.resize(start + scores.len(), 0.0);
            for (id, score) in sampling.candidates(&scores)? {
                keeps[start + id as usize] = 1;
                warped[start + id as usize] = score as f32;
            }
        }
        let shape = [texts.len(), self.generator.model().facts().vocab_size];
        self.compare(WARPED[0], &HostTensor::i32(shape, keeps)?)?;
        self.compare(WARPED[1], &HostTensor::f32(shape, warped)?)
    }
}

/// The log-probability of a token by scores of all, in f64.
fn log_probability(scores: &[f32], token: u32) -> f64 {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |score: f32| f64::from(score) - f64::from(largest);
    above(scores[token as usize]) - scores.iter().map(|&score| above(score).exp()).sum::<f64>().ln()
}

/// The rows of a matrix of ids.
pub(super) fn ids(tensor: &HostTensor) -> Vec<Vec<u32>> {
    let width = tensor.shape().dims().last().copied().unwrap_or(1);
    tensor.to_f64().chunks(width).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
}
