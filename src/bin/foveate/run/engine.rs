//! What runs a model: on texts at once, on texts segment by segment, or on target texts about source texts.

use std::time::{Duration, Instant};

use foveate::models::{Encoder, Item, Model, Segments, Targets, Usage};
use foveate::nn::{LayoutKind, Mechanism};
use foveate::plan::Watch;
use foveate::processing::log_likelihood;
use foveate::runtime::{Device, State, Store};
use foveate::weights::Weights;
use foveate::{DType, Error, ErrorKind, HostTensor, Result};

use super::encoding::Input;

/// Tokens of a segment: as the authors of Transformer-XL evaluate it.
const SEGMENT: usize = 128;

/// A model on a device.
#[derive(Debug)]
pub(super) enum Engine {
    Whole(Box<Whole>),
    BySegments(Box<BySegments>),
    AboutSources(Box<AboutSources>),
}

/// A model that reads whole texts.
#[derive(Debug)]
pub(super) struct Whole {
    encoder: Encoder,
    /// The weights, which other encoders of the model share.
    weights: Store,
    dtype: DType,
    batch_tokens: Option<usize>,
}

/// A recurrent model: each text is a stream of its own.
#[derive(Debug)]
pub(super) struct BySegments {
    segments: Segments,
    stream: State,
    /// The longest segment.
    most: usize,
    usage: Usage,
}

/// An encoder-decoder.
#[derive(Debug)]
pub(super) struct AboutSources {
    targets: Targets,
    usage: Usage,
}

/// What there is to compute of a batch's texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The task's result.
    All,
    /// Of each text, its results at these places.
    At(&'a [Vec<usize>]),
    /// How likely each token is, and the scores behind it where they are asked for.
    Likelihoods { scores: bool },
}

/// What a text comes to.
#[derive(Debug)]
pub(super) struct Computed {
    /// The task's result; without any elements where it was not asked for.
    pub(super) tensor: HostTensor,
    /// The logarithms of the tokens' probabilities, where they were asked for.
    pub(super) likelihoods: Vec<f64>,
}

impl Engine {
    /// Puts the weights on the device. Up to `batch_tokens` tokens are run at once, where a number is given.
    pub(super) fn open(
        model: &Model,
        weights: &Weights,
        device: &Device,
        batch_tokens: Option<usize>,
    ) -> Result<Self> {
        let signature = model.network().signature();
        if signature.takes(LayoutKind::Recurrent) {
            let segments = Segments::new(model, weights, device)?.watching(Watch::Outputs);
            let stream = segments.start(1)?;
            let row_bytes = (model.facts().vocab_size * weights.dtype().size()) as u64;
            let fitting = usize::try_from(device.max_tensor_bytes() / row_bytes).unwrap_or(usize::MAX);
            let most = batch_tokens.unwrap_or(SEGMENT).min(SEGMENT).min(fitting).max(1);
            let usage = Usage::default();
            return Ok(Self::BySegments(Box::new(BySegments { segments, stream, most, usage })));
        }
        if signature.encoder_decoder.is_some() {
            let targets = Targets::new(model, weights, device)?.watching(Watch::Outputs);
            return Ok(Self::AboutSources(Box::new(AboutSources { targets, usage: Usage::default() })));
        }
        let uploaded = Store::upload(device, weights.iter())?;
        Whole::open(model, uploaded, weights.dtype(), batch_tokens).map(|whole| Self::Whole(Box::new(whole)))
    }

    /// An engine of the same weights with a mechanism in the place of attention. Fails for models that read other than whole texts.
    pub(super) fn exchanged(&self, model: &Model, mechanism: &Mechanism) -> Result<Self> {
        let Self::Whole(own) = self else {
            return Err(Error::new(ErrorKind::Unsupported, "run", "--attention")
                .expecting("a model that reads whole texts")
                .but_found(model.facts().architecture));
        };
        let layers = mechanism.layers().map(<[usize]>::to_vec);
        let mut other = Whole::open(model, own.weights.clone(), own.dtype, own.batch_tokens)?;
        other.encoder = other.encoder.exchanging(mechanism.attend()?, layers);
        Ok(Self::Whole(Box::new(other)))
    }

    /// How many of the first inputs are run together.
    pub(super) fn fitting(&self, inputs: &[Input]) -> usize {
        match self {
            Self::Whole(engine) => engine.encoder.fitting(inputs),
            Self::BySegments(_) | Self::AboutSources(_) => inputs.len().min(1),
        }
    }

    /// Bytes that the largest batch of the inputs takes beside the weights. One text at a time is as large as its segment, or as the two texts
    /// of an encoder-decoder, and is not counted.
    pub(super) fn bytes(&mut self, inputs: &[Input], wanted: Wanted<'_>) -> Result<u64> {
        match self {
            Self::Whole(engine) => engine.encoder.bytes(&items(inputs, wanted)),
            Self::BySegments(_) | Self::AboutSources(_) => Ok(0),
        }
    }

    /// What was done so far.
    pub(super) fn usage(&self) -> Usage {
        match self {
            Self::Whole(engine) => engine.encoder.usage(),
            Self::BySegments(engine) => engine.usage,
            Self::AboutSources(engine) => engine.usage,
        }
    }

    /// What each of the inputs comes to.
    pub(super) fn run(&mut self, inputs: &[Input], wanted: Wanted<'_>) -> Result<Vec<Computed>> {
        match self {
            Self::Whole(engine) => engine.run(inputs, wanted),
            Self::BySegments(engine) => inputs.iter().map(|input| engine.run(&input.ids, wanted)).collect(),
            Self::AboutSources(engine) => inputs.iter().map(|input| engine.run(input)).collect(),
        }
    }
}

/// Inputs as an encoder takes them.
fn items<'a>(inputs: &'a [Input], wanted: Wanted<'a>) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'_>> =
        inputs.iter().map(|input| Item { types: &input.types, ..Item::new(&input.ids) }).collect();
    if let Wanted::At(places) = wanted {
        items.iter_mut().zip(places).for_each(|(item, places)| item.wanted = Some(places));
    }
    items
}

impl Whole {
    fn open(model: &Model, weights: Store, dtype: DType, batch_tokens: Option<usize>) -> Result<Self> {
        let mut encoder = Encoder::with_store(model, &weights, dtype)?.watching(Watch::Outputs);
        if let Some(tokens) = batch_tokens {
            encoder = encoder.batch_tokens(tokens);
        }
        Ok(Self { encoder, weights, dtype, batch_tokens })
    }

    fn run(&mut self, inputs: &[Input], wanted: Wanted<'_>) -> Result<Vec<Computed>> {
        let computed = |(tensor, input): (HostTensor, &Input)| {
            let likelihoods = match wanted {
                Wanted::Likelihoods { .. } => log_likelihood(&tensor.to_f32(), &input.ids)?,
                _ => Vec::new(),
            };
            Ok(Computed { tensor, likelihoods })
        };
        self.encoder.run_first(&items(inputs, wanted))?.into_iter().zip(inputs).map(computed).collect()
    }
}

impl BySegments {
    fn run(&mut self, ids: &[u32], wanted: Wanted<'_>) -> Result<Computed> {
        let (start, prepared) = (Instant::now(), self.segments.preparing());
        self.stream.reset()?;
        let computed = match wanted {
            Wanted::Likelihoods { scores: false } => self.likelihoods(ids)?,
            _ => self.results(ids, wanted)?,
        };
        let running = Running { start, preparing: self.segments.preparing(), prepared };
        running.add_to(&mut self.usage, ids.len(), ids.len().div_ceil(self.most));
        Ok(computed)
    }

    /// How likely each token is, of which nothing else leaves the device.
    fn likelihoods(&mut self, ids: &[u32]) -> Result<Computed> {
        let mut likelihoods = Vec::with_capacity(ids.len());
        let (read, targets) = (&ids[..ids.len() - 1], &ids[1..]);
        for (read, targets) in read.chunks(self.most).zip(targets.chunks(self.most)) {
            let logs = self.segments.log_likelihoods(&mut self.stream, &[read], &[targets])?;
            likelihoods.extend(logs.to_f64());
        }
        Ok(Computed { tensor: HostTensor::f32([0], Vec::new())?, likelihoods })
    }

    fn results(&mut self, ids: &[u32], wanted: Wanted<'_>) -> Result<Computed> {
        let mut rows = Vec::new();
        for read in ids.chunks(self.most) {
            let outputs = self.segments.run(&mut self.stream, &[read])?;
            rows.extend(outputs.values().next().map(HostTensor::to_f32).unwrap_or_default());
        }
        let likelihoods = match wanted {
            Wanted::Likelihoods { .. } => log_likelihood(&rows, ids)?,
            _ => Vec::new(),
        };
        Ok(Computed { tensor: HostTensor::f32([ids.len(), rows.len() / ids.len()], rows)?, likelihoods })
    }
}

impl AboutSources {
    /// The target's likelihood: of an input's ids the first are those of the source.
    fn run(&mut self, input: &Input) -> Result<Computed> {
        let (begin, prepared) = (Instant::now(), self.targets.preparing());
        let start = input.types.iter().position(|&of| of != 0).unwrap_or(input.ids.len());
        let (source, target) = input.ids.split_at(start);
        let tensor = self.targets.run(source, target)?;
        let running = Running { start: begin, preparing: self.targets.preparing(), prepared };
        running.add_to(&mut self.usage, input.ids.len(), 1);
        let likelihoods = log_likelihood(&tensor.to_f32(), &self.targets.begun(target))?;
        Ok(Computed { tensor, likelihoods })
    }
}

/// When a text was begun, and the time that was spent on preparing before and since.
struct Running {
    start: Instant,
    prepared: Duration,
    preparing: Duration,
}

impl Running {
    fn add_to(self, usage: &mut Usage, tokens: usize, batches: usize) {
        let own = self.preparing.saturating_sub(self.prepared);
        usage.preparing += own;
        usage.running += self.start.elapsed().saturating_sub(own);
        usage.sequences += 1;
        usage.tokens += tokens;
        usage.batches += batches;
    }
}
