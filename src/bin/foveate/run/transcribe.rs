//! `foveate run --task transcribe`: what is said in recordings, and when.

use std::fmt;
use std::path::{Display, PathBuf};
use std::time::Instant;

use foveate::models::{Model, SoundEncoder};
use foveate::plan::Watch;
use foveate::processing::sound::{SoundReader, Symbols, Transcript, Wave, greedy, prefix_beams};
use foveate::{DType, Error, ErrorKind, HostTensor, Result, runtime};
use serde::Serialize;

use crate::args::RunArgs;
use crate::device::{Device, DeviceReport};
use crate::memory;
use crate::output::{self, Delivery};
use crate::pipelines::{self, PipelineCache};
use crate::sounds::within_file;

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
    /// The natural logarithm of the text's probability, by a search with several beams.
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
    let model = super::open("run", &args.folder, args.task.task())?;
    let symbols = Symbols::open(&args.folder, model.facts().vocab_size)?;
    let reader = SoundReader::open(&args.folder, &model)?;
    let waves = args.sounds.iter().map(Wave::open).collect::<Result<Vec<_>>>()?;
    let seconds: Vec<f64> = waves.iter().map(Wave::seconds).collect();
    let json = args.json.open("run")?;
    let cache = args.cache.pipeline_cache.as_deref();
    let sink = cache.map(|path| pipelines::sink("run", path)).transpose()?;
    output::check([json.as_ref(), sink.as_ref()].into_iter().flatten(), &args.files_read())?;
    let device = Device::open_to_run(&args.device)?;
    let (device, cache) = PipelineCache::open(device, cache)?;

    let heard = hear(args, (&model, dtype), (&reader, &symbols, waves), device.runtime())?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.folder.display().to_string(),
        architecture: model.facts().architecture,
        device: device.report(),
        dtype: dtype.name(),
        task: args.task.name(),
        loading_s: heard.loading_s,
        preparing_s: heard.preparing_s,
        running_s: heard.running_s,
        times_real_time: seconds.iter().sum::<f64>() / heard.running_s,
        results: heard.entries(&args.sounds, &seconds),
    };
    output::note(format!(
        "{} in {:.2} s, {:.1} times real time, after {:.2} s of preparing",
        device.describe(),
        report.running_s,
        report.times_real_time,
        report.preparing_s
    ));
    let mut delivery = Delivery::default();
    delivery.put(json.as_ref(), || output::json(&report));
    if let Some(cache) = cache {
        delivery.put(sink.as_ref(), || cache.contents());
    }
    delivery.end(|| report.to_string())
}

/// The texts of all recordings, and how long each part of the way took.
struct Heard {
    /// Each with its log-probability, where several beams were followed.
    texts: Vec<(Transcript, Option<f64>)>,
    loading_s: f64,
    preparing_s: f64,
    running_s: f64,
}

impl Heard {
    fn entries(self, files: &[PathBuf], seconds: &[f64]) -> Vec<Entry> {
        let named = files.iter().zip(seconds).zip(self.texts);
        let entry = |((path, &seconds), (transcript, log_probability)): ((&PathBuf, &f64), _)| {
            let source = path.display().to_string();
            Entry { source, seconds, log_probability, transcript }
        };
        named.map(entry).collect()
    }
}

fn hear(
    args: &RunArgs,
    (model, dtype): (&Model, DType),
    (reader, symbols, waves): (&SoundReader, &Symbols, Vec<Wave>),
    device: &runtime::Device,
) -> Result<Heard> {
    let start = Instant::now();
    memory::check_weights("run", device, model.declarations(), dtype)?;
    let mut encoder = SoundEncoder::new(model, &model.load(dtype)?, device)?.watching(Watch::Outputs);
    let loading_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let files: Vec<_> = args.sounds.iter().map(|path| path.display()).collect();
    let rate = reader.frames().rate as u32;
    let read = |(wave, file): (Wave, &Display<'_>)| {
        let wave = wave.resampled(rate).map_err(|error| error.within(file.to_string()))?;
        Ok(reader.read(&wave.samples))
    };
    let sounds = waves.into_iter().zip(&files).map(read).collect::<Result<Vec<_>>>()?;
    let needed = encoder.bytes(&sounds).map_err(|error| within_file(error, &files))?;
    memory::check("run", device, "the longest recordings", needed)?;
    let scores = encoder.run(&sounds).map_err(|error| within_file(error, &files))?;
    let preparing_s = encoder.preparing().as_secs_f64();
    let running_s = (start.elapsed().as_secs_f64() - preparing_s).max(1e-9);
    let seconds = encoder.frames().seconds();
    let text = |scores: &HostTensor| transcribe(&scores.to_f32(), symbols, args.beams, seconds);
    let texts = scores.iter().map(text).collect::<Result<_>>()?;
    Ok(Heard { texts, loading_s, preparing_s, running_s })
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
