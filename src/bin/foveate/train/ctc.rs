//! `foveate train ctc FOLDER`: a Conformer from scratch that transcribes recordings.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use foveate::models::{ConformerConfig, Model, SoundEncoder};
use foveate::plan::Watch;
use foveate::processing::sound::{RecognitionErrors, Recorded, SoundReader, Symbols, greedy, recordings};
use foveate::train::{
    Description, Epochs, Inputs, Mode, RecordLoss, SoundBatch, Start, Trainer, Utterance, ctc_inputs,
    ctc_loss,
};
use foveate::weights::write_model;
use foveate::{DType, Error, ErrorKind, Graph, Result, runtime};

use super::destination::Destination;
use super::fine_tune::named;
use super::settings::RunSettings;
use super::sizes::Sizes;
use super::{signals, tell_of_compiling};
use crate::args::CtcArgs;
use crate::device::Device;
use crate::memory;
use crate::output;
use crate::sounds::within_file;

/// A recording as the model reads it.
struct Example {
    source: String,
    sound: Vec<f32>,
    symbols: Vec<u32>,
    text: String,
}

pub(super) fn train(args: &CtcArgs) -> Result<()> {
    let interrupted = signals::watch()?;
    let settings = RunSettings::from_nothing(&args.training, args.steps)?;
    let destination = Destination::open(&args.out)?;
    let recorded = recordings(&args.folder, args.rate)?;
    let symbols = Symbols::of_texts(recorded.iter().map(|recorded| recorded.text.as_str()));
    let config = config(args, symbols.count());
    let model = config.model()?;
    let reader = SoundReader::of(&model.network().signature().sound.ok_or_else(|| no_sound(&model))?)?;
    let read = |recorded: Vec<Recorded>| -> Result<Vec<Example>> {
        recorded.into_iter().map(|recorded| example(recorded, &reader, &symbols)).collect()
    };
    let examples = read(recorded)?;
    let kept = args.validation.as_ref().map(|folder| recordings(folder, args.rate).and_then(read));
    let kept = kept.transpose()?;
    for example in examples.iter().chain(kept.iter().flatten()) {
        check(&model, example, config.num_mel_bins)?;
    }
    let device = Device::open(&args.device, runtime::Device::Cpu)?;

    let bins = config.num_mel_bins;
    let lengths: Vec<usize> = examples.iter().map(|example| example.sound.len() / bins).collect();
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let mut order = Epochs::new(examples.len(), settings.batch, settings.seed);
    let sizes = Sizes::of(order.batch_size(), &lengths, longest);
    if sizes.times.len() > 1 {
        order = order.grouped(lengths.iter().map(|&length| sizes.number_of(length)).collect());
    }
    let labels = examples.iter().map(|example| example.symbols.len()).max().unwrap_or(1);
    let (dtype, training) = settings.recording()?;
    let record = |&steps: &usize| {
        let (model, size) = (&model, SoundBatch { batch: sizes.batch, steps, labels });
        move |graph: &mut Graph, mode: Mode| {
            let training = mode.prepare(graph, training)?;
            ctc_loss(graph, model, size, dtype, (mode == Mode::Train).then_some(training))
        }
    };
    let records: Vec<_> = sizes.times.iter().map(record).collect();
    let records: Vec<&RecordLoss<'_>> = records.iter().map(|record| record as &RecordLoss<'_>).collect();
    let declarations = model.declarations();
    memory::check_weights("train", device.runtime(), declarations, DType::F32)?;
    let start = config.initial_weights(declarations, settings.seed).collect::<Result<_>>()?;
    let (start, description) = (Start::Weights(&start), Description::default());
    let mut trainer = Trainer::of_sizes(
        device.runtime(),
        declarations,
        &records,
        start,
        description,
        settings.training()?,
    )?;
    memory::check("train", device.runtime(), "a step (--batch)", trainer.bytes()?)?;
    tell_of_compiling(device.runtime());
    let looker = SoundEncoder::with_store(&model, trainer.weights(), DType::F32)?.watching(Watch::Outputs);
    let run =
        Run { args, config, model: &model, symbols: &symbols, examples, kept, trainer, looker, settings };
    run.train(&interrupted, (order, &sizes, labels), destination)
}

fn no_sound(model: &Model) -> Error {
    Error::new(ErrorKind::Unsupported, "train", model.facts().architecture)
        .expecting("a model of sound")
        .but_found("one of texts")
}

fn config(args: &CtcArgs, symbols: usize) -> ConformerConfig {
    ConformerConfig {
        vocab_size: symbols,
        hidden_size: args.width as usize,
        num_hidden_layers: args.depth as usize,
        num_attention_heads: args.heads as usize,
        intermediate_size: args.feed_forward.unwrap_or(4 * args.width) as usize,
        conv_depthwise_kernel_size: args.kernel as usize,
        subsampling_channels: args.subsampling as usize,
        num_mel_bins: args.mels as usize,
        sampling_rate: args.rate as usize,
        left_context: args.left_context.map(|frames| frames as usize),
    }
}

fn example(recorded: Recorded, reader: &SoundReader, symbols: &Symbols) -> Result<Example> {
    let Recorded { source, samples, text, .. } = recorded;
    let unknown = |error: Error| {
        error
            .within(source.clone())
            .expecting("letters of the texts that are trained on")
            .but_found("another")
    };
    let encoded = symbols.encode(&text).map_err(unknown)?;
    Ok(Example { sound: reader.read(&samples), symbols: encoded, text, source })
}

/// Refuses a recording that is too short for its text, before anything is trained on the others.
fn check(model: &Model, example: &Example, bins: usize) -> Result<()> {
    let Example { sound, symbols, source, .. } = example;
    let size = SoundBatch { batch: 1, steps: sound.len() / bins, labels: symbols.len().max(1) };
    let inputs = ctc_inputs(model, &[Utterance { sound, symbols }], size);
    inputs.map(|_| ()).map_err(|error| within_file(error, &[source]))
}

/// A training under way.
struct Run<'a> {
    args: &'a CtcArgs,
    config: ConformerConfig,
    model: &'a Model,
    symbols: &'a Symbols,
    examples: Vec<Example>,
    kept: Option<Vec<Example>>,
    trainer: Trainer,
    /// The model on the weights of the training.
    looker: SoundEncoder,
    settings: RunSettings,
}

impl Run<'_> {
    fn train(
        mut self,
        interrupted: &AtomicBool,
        (mut order, sizes, labels): (Epochs, &Sizes, usize),
        destination: Destination,
    ) -> Result<()> {
        let weights: usize =
            self.model.declarations().list().iter().map(|weight| weight.shape.elements()).sum();
        let (count, symbols) = (self.examples.len(), self.symbols.count());
        output::note(format!("{count} recordings, {symbols} symbols, {weights} weights"));
        let bar = output::progress(self.settings.steps as usize);
        let (start, mut losses) = (Instant::now(), Vec::new());
        let mut printed = Ok(());
        while self.trainer.step_count() < self.settings.steps && !interrupted.load(Ordering::SeqCst) {
            losses.push(self.step(&mut order, sizes, labels)?);
            bar.inc(1);
            let step = self.trainer.step_count();
            if step != self.settings.steps && !step.is_multiple_of(self.args.evaluate_every) {
                continue;
            }
            let wrong = self.look()?;
            let loss = losses.iter().sum::<f32>() / losses.len() as f32;
            losses.clear();
            let line = format!(
                "step {step:>5}  loss {loss:.4}  word error rate {:.3}  character error rate {:.3}  {:.0} s",
                wrong.word_error_rate(),
                wrong.character_error_rate(),
                start.elapsed().as_secs_f64()
            );
            printed = output::print_line(&bar, &line);
            if printed.is_err() || self.args.stop_at.is_some_and(|rate| wrong.word_error_rate() <= rate) {
                break;
            }
        }
        bar.finish_and_clear();
        // Whether anybody is there to read of it or not.
        let out = destination.finish(|folder| self.write(folder))?;
        printed?;
        let step = self.trainer.step_count();
        if interrupted.load(Ordering::SeqCst) && step < self.settings.steps {
            output::note(format!("interrupted: the model after step {step} is in {}", out.display()));
            return Ok(());
        }
        output::print(format!("{step} steps: {}\n", out.display()))
    }

    /// One step; its loss.
    fn step(&mut self, order: &mut Epochs, sizes: &Sizes, labels: usize) -> Result<f32> {
        let accumulate = self.settings.accumulate as u64;
        let first = self.trainer.step_count() * accumulate;
        let batches = (first..first + accumulate)
            .map(|number| self.inputs(&order.batch(number), sizes, labels))
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<_> = batches.iter().map(|inputs| named(inputs)).collect();
        let named: Vec<_> = named.iter().map(|batch| &batch[..]).collect();
        Ok(self.trainer.step(&named)?.loss)
    }

    fn inputs(&self, numbers: &[usize], sizes: &Sizes, labels: usize) -> Result<Inputs> {
        let bins = self.config.num_mel_bins;
        let examples: Vec<&Example> = numbers.iter().map(|&number| &self.examples[number]).collect();
        let longest = examples.iter().map(|example| example.sound.len() / bins).max().unwrap_or_default();
        let utterances: Vec<Utterance<'_>> = examples
            .iter()
            .map(|example| Utterance { sound: &example.sound, symbols: &example.symbols })
            .collect();
        let size = SoundBatch { batch: numbers.len(), steps: sizes.time_of(longest), labels };
        ctc_inputs(self.model, &utterances, size).map_err(|error| {
            let sources: Vec<&str> = examples.iter().map(|example| example.source.as_str()).collect();
            within_file(error, &sources)
        })
    }

    /// How much of the validation recordings, or else of those that are trained on, is heard wrongly.
    fn look(&mut self) -> Result<RecognitionErrors> {
        let looked_at = self.kept.as_ref().unwrap_or(&self.examples);
        let sounds: Vec<&[f32]> = looked_at.iter().map(|example| &example.sound[..]).collect();
        let scores = self.looker.run(&sounds).map_err(|error| {
            let sources: Vec<&str> = looked_at.iter().map(|example| example.source.as_str()).collect();
            within_file(error, &sources)
        })?;
        let mut wrong = RecognitionErrors::default();
        for (example, scores) in looked_at.iter().zip(&scores) {
            let pieces = greedy(&scores.to_f32(), self.symbols.count(), self.symbols.blank())?;
            wrong = wrong.and(RecognitionErrors::of(&example.text, &self.symbols.text(&pieces, 1.0).text));
        }
        Ok(wrong)
    }

    /// Writes the model as it is by now.
    fn write(&self, folder: &Path) -> Result<()> {
        self.symbols.write(folder)?;
        write_model(folder, &self.config.to_json(), &self.trainer.read_all(self.model.declarations())?)
    }
}
