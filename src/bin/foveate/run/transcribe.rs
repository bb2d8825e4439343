//! `foveate run --task transcribe`: what is said in recordings, and when.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use foveate::models::{Model, SoundEncoder};
use foveate::plan::Watch;
use foveate::processing::sound::{SoundReader, Symbols, Transcript, Wave, greedy, prefix_beams};
use foveate::{Error, ErrorKind, Result, runtime};
use serde::Serialize;

use crate::args::RunArgs;
use crate::device::{Device, DeviceReport};
use crate::memory;
use crate::output::{self, Delivery};
use crate::pipelines::{self, PipelineCache};

/// What was said in the recordings.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    model: String,
    architecture: &'static str,
    device: DeviceReport,
    dtype: &'static str,
    task: &'static str,
    loading_s: f64,
    preparing_s: f64,
    running_s: f64,
    /// Seconds of sound for each second of running.
    times_real_time: f64,
    results: Vec<Entry>,
}

/// What was said in one recording.
#[derive(Debug, Serialize)]
struct Entry {
    source: String,
    seconds: f64,
    /// The natural logarithm of the text's probability, where several beginnings were followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_probability: Option<f64>,
    #[serde(flatten)]
    transcript: Transcript,
}

pub(super) fn run(args: &RunArgs) -> Result<()> {
    if args.sounds.is_empty() {
        return Err(Error::new(ErrorKind::Argument, "run", "WAV")
            .expecting("at least one recording to transcribe")
            .but_found("none"));
    }
    let dtype = args.storage.dtype("run")?;
    let model = Model::open(&args.folder, args.task.task()).map_err(super::with_advice)?;
    let symbols = Symbols::open(&args.folder, model.facts().vocab_size)?;
    let reader = SoundReader::open(&args.folder, &model)?;
    let waves = args.sounds.iter().map(Wave::open).collect::<Result<Vec<_>>>()?;
    let json = args.json.open("run")?;
    let cache = args.cache.pipeline_cache.as_deref();
    let sink = cache.map(|path| pipelines::sink("run", path)).transpose()?;
    output::check([json.as_ref(), sink.as_ref()].into_iter().flatten(), &args.files_read())?;
    let device = Device::open(&args.device, runtime::Device::Cpu)?;
    let (device, cache) = PipelineCache::open(device, cache)?;

    let start = Instant::now();
    let weights = model.load(dtype)?;
    memory::check_weights("run", device.runtime(), model.declarations(), dtype)?;
    let mut encoder = SoundEncoder::new(&model, &weights, device.runtime())?.watching(Watch::Outputs);
    let loading_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let seconds: Vec<f64> = waves.iter().map(Wave::seconds).collect();
    let rate = reader.frames().rate as u32;
    let sounds = waves
        .into_iter()
        .zip(&args.sounds)
        .map(|(wave, path)| {
            let wave = wave.resampled(rate).map_err(|error| error.within(path.display().to_string()))?;
            Ok(reader.read(&wave.samples))
        })
        .collect::<Result<Vec<_>>>()?;
    let needed = encoder.bytes(&sounds).map_err(|error| with_file(error, &args.sounds))?;
    memory::check("run", device.runtime(), "the longest recordings", needed)?;
    let scores = encoder.run(&sounds).map_err(|error| with_file(error, &args.sounds))?;
    let all = start.elapsed().as_secs_f64();
    let preparing_s = encoder.preparing().as_secs_f64();
    let running_s = (all - preparing_s).max(1e-9);

    let mut results = Vec::with_capacity(scores.len());
    for ((path, seconds), scores) in args.sounds.iter().zip(&seconds).zip(&scores) {
        let frame = encoder.frames().seconds();
        let (transcript, log_probability) = transcribe(&scores.to_f32(), &symbols, args.beams, frame)?;
        let source = path.display().to_string();
        results.push(Entry { source, seconds: *seconds, log_probability, transcript });
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        architecture: model.facts().architecture,
        device: device.report(),
        dtype: dtype.name(),
        task: args.task.name(),
        loading_s,
        preparing_s,
        running_s,
        times_real_time: seconds.iter().sum::<f64>() / running_s,
        results,
    };
    output::note(format!(
        "{} in {running_s:.2} s, {:.1} times real time, after {preparing_s:.2} s of preparing",
        device.describe(),
        report.times_real_time
    ));
    let mut delivery = Delivery::default();
    delivery.put(json.as_ref(), || output::json(&report));
    if let Some(cache) = cache {
        delivery.put(sink.as_ref(), || cache.contents());
    }
    delivery.end(|| report.to_string())
}

/// The error of one of several sounds, by their numbers, within its file.
fn with_file(error: Error, files: &[PathBuf]) -> Error {
    let number = error.argument().strip_prefix("sound ").and_then(|number| number.parse::<usize>().ok());
    match number.and_then(|number| files.get(number)) {
        Some(file) => error.within(file.display().to_string()),
        None => error,
    }
}

/// The text of one recording's scores; with several beams its log-probability, too.
fn transcribe(
    scores: &[f32],
    symbols: &Symbols,
    beams: u32,
    seconds: f64,
) -> Result<(Transcript, Option<f64>)> {
    if beams == 1 {
        let pieces = greedy(scores, symbols.count(), symbols.blank())?;
        return Ok((symbols.text(&pieces, seconds), None));
    }
    let found = prefix_beams(scores, symbols.count(), symbols.blank(), beams as usize)?;
    let best = found.into_iter().next();
    let pieces = best.as_ref().map_or(&[][..], |beam| &beam.pieces);
    Ok((symbols.text(pieces, seconds), best.as_ref().map(|beam| beam.log_probability)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { source, seconds, log_probability, transcript } in &self.results {
            let likely =
                log_probability.map_or_else(String::new, |log| format!(", log-probability {log:.2}"));
            writeln!(f, "{source} ({seconds:.2} s{likely}): {}", transcript.text)?;
            for word in &transcript.words {
                writeln!(f, "  {:>7.2}  {:>7.2}  {}", word.start, word.end, word.text)?;
            }
        }
        Ok(())
    }
}
