//! A model of sound on a device: sounds in, one tensor a sound out, with a row for every frame.

use std::collections::BTreeMap;
use std::time::Duration;

use super::batch::rounded_time;
use super::{Model, Sound, SoundFrames};
use crate::graph::Graph;
use crate::plan::Watch;
use crate::runtime::{Device, Outputs, Runner, Store};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "sound encoder";

/// Seconds of sound that are run at once, where there are several sounds.
const BATCH_SECONDS: usize = 16;

/// A model of sound with its weights on one device.
///
/// ```no_run
/// use foveate::DType;
/// use foveate::models::{Device, Model, SoundEncoder, Task};
///
/// # fn main() -> foveate::Result<()> {
/// let model = Model::open("wav2vec2-conformer-rel-pos-large-960h-ft", Task::Transcribe)?;
/// let mut encoder = SoundEncoder::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
/// let second_of_silence = vec![0.0; encoder.frames().rate];
/// let scores = &encoder.run(&[second_of_silence])?[0];
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SoundEncoder {
    model: Model,
    dtype: DType,
    frames: SoundFrames,
    runner: Runner<Size>,
}

/// Sounds of a batch, the steps of each, and whether padding is told from sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    batch: usize,
    steps: usize,
    is_padded: bool,
}

impl SoundEncoder {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] for a model that does not read sound, when a weight is not finite in its type, and when the device
    /// is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        model.frames_for(None)?;
        Self::with_store(model, &Store::upload(device, weights.iter())?, weights.dtype())
    }

    /// A model whose weights, of type `dtype`, are on their device already, such as those of a training, as
    /// [`Encoder::with_store`](super::Encoder::with_store) has it.
    ///
    /// Fails with [`ErrorKind::Unsupported`] for a model that does not read sound.
    pub fn with_store(model: &Model, weights: &Store, dtype: DType) -> Result<Self> {
        let frames = model.frames_for(None)?;
        Ok(Self { model: model.clone(), dtype, frames, runner: Runner::new(weights) })
    }

    /// Checks the results, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`] says.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The frames that the model makes of sound.
    pub fn frames(&self) -> SoundFrames {
        self.frames
    }

    /// Time spent on planning and making programs so far.
    pub fn preparing(&self) -> Duration {
        self.runner.preparing()
    }

    /// The task's result for every frame of each sound, f32 `[frames, width]`. A sound is a row of samples, or of features one behind another, as
    /// [`SoundFrames::form`] says. Those of one length are run together, and others where the model ignores padding.
    ///
    /// Fails, before anything is run, when a sound is no whole number of steps, shorter than a frame, longer than 2^14 frames or not finite; and
    /// when the device is lost or out of memory.
    pub fn run(&mut self, sounds: &[impl AsRef<[f32]>]) -> Result<Vec<HostTensor>> {
        let sounds: Vec<&[f32]> = sounds.iter().map(AsRef::as_ref).collect();
        let mut results = vec![None; sounds.len()];
        for (steps, numbers) in self.batches(&sounds)? {
            let batch: Vec<&[f32]> = numbers.iter().map(|&number| sounds[number]).collect();
            for (number, result) in numbers.into_iter().zip(self.run_batch(&batch, steps)?) {
                results[number] = Some(result);
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Bytes that the largest batch of these sounds takes beside the weights, before anything is made for it. Fails as [`SoundEncoder::run`] does
    /// before it runs anything.
    pub fn bytes(&mut self, sounds: &[impl AsRef<[f32]>]) -> Result<u64> {
        let sounds: Vec<&[f32]> = sounds.iter().map(AsRef::as_ref).collect();
        let batches = self.batches(&sounds)?;
        let largest = batches.iter().max_by_key(|(steps, numbers)| (steps * numbers.len(), *steps));
        let Some((steps, numbers)) = largest else { return Ok(0) };
        let is_padded = numbers.iter().any(|&number| self.steps_of(sounds[number]) != *steps);
        let size = Size { batch: numbers.len(), steps: *steps, is_padded };
        let (model, frames, dtype) = (&self.model, &self.frames, self.dtype);
        self.runner.bytes(size, || graph(model, frames, size, dtype))
    }

    /// Which sounds are run together, by their numbers, and the steps that each batch is padded to.
    fn batches(&self, sounds: &[&[f32]]) -> Result<Vec<(usize, Vec<usize>)>> {
        sounds.iter().enumerate().try_for_each(|(number, sound)| self.check(number, sound))?;
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, sound) in sounds.iter().enumerate() {
            groups.entry(self.planned_steps(self.steps_of(sound))).or_default().push(number);
        }
        let together = |steps: usize| (BATCH_SECONDS * self.frames.steps_a_second() / steps.max(1)).max(1);
        let batches = groups.iter().flat_map(|(&steps, numbers)| {
            numbers.chunks(together(steps)).map(move |numbers| (steps, numbers.to_vec()))
        });
        Ok(batches.collect())
    }

    fn steps_of(&self, sound: &[f32]) -> usize {
        sound.len() / self.frames.channels()
    }

    /// How many steps a sound of so many is run with: one of a few numbers where padding changes nothing and a program is made for each.
    fn planned_steps(&self, steps: usize) -> usize {
        let rounds = self.frames.ignores_padding && self.runner.device().is_planned();
        if rounds { rounded_time(steps).min(self.longest()) } else { steps }
    }

    /// The steps of the longest sound.
    fn longest(&self) -> usize {
        self.frames.span + (self.model.facts().max_tokens - 1) * self.frames.stride
    }

    fn check(&self, number: usize, sound: &[f32]) -> Result<()> {
        let refused = || Error::new(ErrorKind::Argument, NAME, format!("sound {number}"));
        self.frames.check(sound, refused)?;
        let (steps, most) = (self.steps_of(sound), self.model.facts().max_tokens);
        let frames = self.frames.count(steps);
        if !(1..=most).contains(&frames) {
            let (span, longest) = (self.frames.span, self.longest());
            let unit = if self.frames.channels() == 1 { "samples" } else { "rows" };
            return Err(refused()
                .expecting(format!("{span} to {longest} {unit}, which make 1 to {most} frames"))
                .but_found(steps));
        }
        Ok(())
    }

    /// The results of sounds that are padded to `steps`.
    fn run_batch(&mut self, sounds: &[&[f32]], steps: usize) -> Result<Vec<HostTensor>> {
        let (channels, batch) = (self.frames.channels(), sounds.len());
        let is_padded = sounds.iter().any(|sound| self.steps_of(sound) != steps);
        let mut values = vec![0.0; batch * steps * channels];
        for (row, sound) in values.chunks_mut((steps * channels).max(1)).zip(sounds) {
            row[..sound.len()].copy_from_slice(sound);
        }
        let values = HostTensor::f32([batch, steps, channels], values)?;
        let counts: Vec<usize> = sounds.iter().map(|sound| self.frames.count(self.steps_of(sound))).collect();
        let lengths = HostTensor::i32([batch], counts.iter().map(|&count| count as i32).collect())?;
        let mut inputs = vec![("sound", &values)];
        if is_padded {
            inputs.push(("lengths", &lengths));
        }
        let size = Size { batch, steps, is_padded };
        let (model, frames, dtype) = (&self.model, &self.frames, self.dtype);
        let outputs = self.runner.run(size, &inputs, || graph(model, frames, size, dtype))?;
        unpack(&outputs, &counts)
    }
}

/// The graph of a batch.
fn graph(model: &Model, frames: &SoundFrames, size: Size, dtype: DType) -> Result<Graph> {
    let shape = [size.batch, size.steps];
    model.sound_graph(dtype, |graph| match size.is_padded {
        true => Sound::padded(graph, frames, shape),
        false => Sound::whole(graph, frames, shape),
    })
}

/// The first `counts` rows of each item of the only output, `[batch, frames, width]`.
fn unpack(outputs: &Outputs, counts: &[usize]) -> Result<Vec<HostTensor>> {
    let Some(output) = outputs.values().next() else { return Ok(Vec::new()) };
    let dims = output.shape().dims();
    let (frames, width, values) = (dims[1], dims[2], output.to_f32());
    let of_item = |(item, &count): (usize, &usize)| {
        let start = item * frames * width;
        HostTensor::f32([count, width], values[start..start + count * width].to_vec())
    };
    counts.iter().enumerate().map(of_item).collect()
}
