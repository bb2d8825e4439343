//! A causal model of sound on a device that reads a stream in pieces.

use super::sound::MOST_FRAMES;
use super::{Model, Sound, SoundFrames};
use crate::graph::Graph;
use crate::nn::LayoutKind;
use crate::plan::Watch;
use crate::runtime::{Runner, State, Store};
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "sound stream";

/// A stream of sound and the model that reads it, piece by piece: what a sound gives as a whole. Layers keep a few frames of what they have read,
/// so that a stream of any length takes the same memory.
///
/// Pieces are what the model was trained on: of a model of `foveate train ctc` log-mel features less their mean over the whole recording, divided by
/// their deviation, as [`SoundReader`](crate::processing::sound::SoundReader) makes them. Where the whole is not there yet, both are those of
/// recordings alike, and [`LogMel`](crate::processing::sound::LogMel) makes the features: [`SoundReader`](crate::processing::sound::SoundReader) would
/// normalise each piece by itself.
///
/// ```no_run
/// use foveate::DType;
/// use foveate::models::{Device, Model, SoundStream, Task};
/// use foveate::runtime::Store;
///
/// # fn main() -> foveate::Result<()> {
/// # let features: Vec<f32> = Vec::new();
/// let model = Model::open("causal", Task::Transcribe)?;
/// let weights = Store::upload(&Device::Cpu, model.load(DType::F32)?.iter())?;
/// let mut stream = SoundStream::new(&model, &weights, DType::F32)?;
/// // Half a second of 80 log-mel features at a time.
/// for piece in features.chunks(50 * 80) {
///     if let Some(scores) = stream.read(piece)? {
///         println!("{} more frames", scores.shape().dims()[0]);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SoundStream {
    model: Model,
    dtype: DType,
    frames: SoundFrames,
    /// By steps.
    runner: Runner<usize>,
    state: State,
    /// Steps of which a frame to come is made.
    pending: Vec<f32>,
}

impl SoundStream {
    /// A stream before its beginning, for weights of type `dtype` that are on their device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] for a model that does not read sound or whose frames see what follows them, and when the device is lost
    /// or out of memory.
    pub fn new(model: &Model, weights: &Store, dtype: DType) -> Result<Self> {
        let frames = model.frames_for(None)?;
        if !model.network().signature().takes(LayoutKind::Recurrent) {
            return Err(Error::new(ErrorKind::Unsupported, NAME, "model")
                .expecting("a causal model of sound, which has a left_context")
                .but_found("one whose frames see what follows them"));
        }
        let state = State::new(&weights.device(), &graph(model, &frames, frames.span, dtype)?)?;
        let runner = Runner::new(weights);
        Ok(Self { model: model.clone(), dtype, frames, runner, state, pending: Vec::new() })
    }

    /// Checks the results, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`] says.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// The frames that the model makes.
    pub fn frames(&self) -> SoundFrames {
        self.frames
    }

    /// The task's result, f32 `[frames, width]`, for every frame whose last step is in `piece`, the next steps of the stream: samples, or features one
    /// behind another. None where no frame ends in it. A program is made for each number of frames, of which the last eight are kept.
    ///
    /// Fails, before anything changes, when a piece is no whole number of steps, not finite, or ends more than 2^14 frames; and when the device is lost or out of memory.
    pub fn read(&mut self, piece: &[f32]) -> Result<Option<HostTensor>> {
        let channels = self.frames.channels();
        let refused = || Error::new(ErrorKind::Argument, NAME, "piece");
        self.frames.check(piece, refused)?;
        let before = self.pending.len();
        let frames = self.frames.count((before + piece.len()) / channels);
        if frames > MOST_FRAMES {
            let expected = format!("steps that end at most {MOST_FRAMES} frames");
            return Err(refused().expecting(expected).but_found(format!("{frames} frames")));
        }
        self.pending.extend_from_slice(piece);
        if frames == 0 {
            return Ok(None);
        }
        let result = self.run(frames);
        match result {
            Ok(_) => drop(self.pending.drain(..frames * self.frames.stride * channels)),
            Err(_) => self.pending.truncate(before),
        }
        result.map(Some)
    }

    /// The next `count` frames, of the first pending steps.
    fn run(&mut self, count: usize) -> Result<HostTensor> {
        let Self { model, dtype, frames, runner, state, pending } = self;
        let (steps, channels) = (frames.span + (count - 1) * frames.stride, frames.channels());
        let sound = HostTensor::f32([1, steps, channels], pending[..steps * channels].to_vec())?;
        let record = || graph(model, frames, steps, *dtype);
        let outputs = runner.run_stream(steps, state, &[("sound", &sound)], record)?;
        let result = outputs.into_values().next();
        let result = result.ok_or_else(|| {
            Error::new(ErrorKind::Binding, NAME, "result").expecting("an output").but_found("none")
        })?;
        HostTensor::f32([count, result.shape().dims()[2]], result.to_f32())
    }

    /// Begins anew. Fails when the device is lost.
    pub fn reset(&mut self) -> Result<()> {
        self.pending.clear();
        self.state.reset()
    }
}

/// The graph of the next steps.
fn graph(model: &Model, frames: &SoundFrames, steps: usize, dtype: DType) -> Result<Graph> {
    model.sound_graph(dtype, |graph| Sound::next(graph, frames, steps))
}
