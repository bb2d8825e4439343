//! Sound as an input of a graph, and the frames that networks make of it.

use super::{Model, RESULT, Task};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// The most frames of a sound: a table of distances has a row for each, on both sides.
pub(super) const MOST_FRAMES: usize = 1 << 14;

/// Log-mel features are made every hundredth of a second.
const FEATURES_A_SECOND: usize = 100;

/// What a network reads of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SoundForm {
    /// The samples themselves.
    Samples,
    /// Log-mel features, one row of so many bins every hundredth of a second.
    LogMel {
        /// Numbers of a row.
        bins: usize,
    },
}

/// The frames that a network makes of sound, each of a few of its steps: samples, or rows of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundFrames {
    /// What the network reads.
    pub form: SoundForm,
    /// Samples a second of the sound.
    pub rate: usize,
    /// Steps that a frame is made of.
    pub span: usize,
    /// Steps from the first of a frame to the first of the next one.
    pub stride: usize,
    /// Whether frames are the same whatever padding follows, so that sounds of several lengths share a batch.
    pub ignores_padding: bool,
}

impl SoundFrames {
    /// The frames behind convolutions without padding, each of so many taps and such a stride; none where a frame spans more than 2^24 steps.
    pub(super) fn of_convolutions(
        form: SoundForm,
        rate: usize,
        convolutions: impl Iterator<Item = [usize; 2]>,
    ) -> Option<Self> {
        let most = |steps: usize| (steps <= 1 << 24).then_some(steps);
        let (mut span, mut stride) = (1usize, 1usize);
        for [taps, step] in convolutions {
            span = most(span.checked_add(stride.checked_mul(taps - 1)?)?)?;
            stride = most(stride.checked_mul(step)?)?;
        }
        Some(Self { form, rate, span, stride, ignores_padding: false })
    }

    /// Frames of so many steps.
    pub fn count(&self, steps: usize) -> usize {
        steps.checked_sub(self.span).map_or(0, |rest| rest / self.stride + 1)
    }

    /// Numbers of a step.
    pub fn channels(&self) -> usize {
        match self.form {
            SoundForm::Samples => 1,
            SoundForm::LogMel { bins } => bins,
        }
    }

    /// Steps of a second.
    pub fn steps_a_second(&self) -> usize {
        match self.form {
            SoundForm::Samples => self.rate,
            SoundForm::LogMel { .. } => FEATURES_A_SECOND,
        }
    }

    /// Seconds from one frame to the next.
    pub fn seconds(&self) -> f64 {
        self.stride as f64 / self.steps_a_second() as f64
    }

    /// Refuses a sound that is no whole number of steps or has a number that is not finite, with what `refused` says of it.
    pub(super) fn check(&self, sound: &[f32], refused: impl Fn() -> Error) -> Result<()> {
        let channels = self.channels();
        if !sound.len().is_multiple_of(channels) {
            let expected = format!("rows of {channels} numbers");
            return Err(refused().expecting(expected).but_found(format!("{} numbers", sound.len())));
        }
        match sound.iter().position(|number| !number.is_finite()) {
            Some(at) => {
                Err(refused().expecting("finite numbers").but_found(format!("{} at {at}", sound[at])))
            }
            None => Ok(()),
        }
    }
}

/// The values of a graph that stand for a batch of sounds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Sound {
    /// f32 `[batch, steps, channels]`: samples of one channel, or features.
    pub values: Value,
    /// [`Layout::Rows`]; [`Layout::Padded`] with the frames of each sound that are no padding, as [`SoundFrames::count`] has them; or
    /// [`Layout::Recurrent`].
    pub layout: Layout,
}

impl Sound {
    /// Declares sounds of one length: the input `sound`, `[batch, steps, channels]`.
    pub fn whole(graph: &mut Graph, frames: &SoundFrames, [batch, steps]: [usize; 2]) -> Result<Self> {
        let values = graph.input("sound", TensorDesc::f32([batch, steps, frames.channels()]))?;
        Ok(Self { values, layout: Layout::Rows })
    }

    /// Declares the next steps of a stream, those of its last frame that the next one reads, too, among them: the input `sound`, `[1, steps, channels]`.
    pub fn next(graph: &mut Graph, frames: &SoundFrames, steps: usize) -> Result<Self> {
        Ok(Self { layout: Layout::Recurrent, ..Self::whole(graph, frames, [1, steps])? })
    }

    /// Declares sounds with padding behind: the inputs `sound`, `[batch, steps, channels]`, and `lengths`, `i32 [batch]`, in frames.
    pub fn padded(graph: &mut Graph, frames: &SoundFrames, [batch, steps]: [usize; 2]) -> Result<Self> {
        let sound = Self::whole(graph, frames, [batch, steps])?;
        let lengths = graph.input("lengths", TensorDesc::i32([batch]))?;
        Ok(Self { layout: Layout::Padded { lengths }, ..sound })
    }
}

impl Model {
    /// The graph of the sounds that `declare` makes inputs for; its only output is the task's first result.
    pub(super) fn sound_graph(
        &self,
        dtype: DType,
        declare: impl FnOnce(&mut Graph) -> Result<Sound>,
    ) -> Result<Graph> {
        let mut graph = Graph::new();
        let sound = declare(&mut graph)?;
        let results = self.record_sound(&mut Recorder::new(&mut graph, dtype), &sound)?;
        if let Some((name, value)) = results.first() {
            graph.output(name, *value)?;
        }
        Ok(graph)
    }

    /// Records a model of sound with the results of its task for every frame: `[batch, frames, width]` by name.
    ///
    /// Hidden states of all layers are kept where `recorder` was told so. Fails for a model of texts, for sound of another shape or shorter than
    /// a frame, and as the network does.
    pub fn record_sound(
        &self,
        recorder: &mut Recorder<'_>,
        sound: &Sound,
    ) -> Result<Vec<(&'static str, Value)>> {
        let network = self.network();
        if let Some(frames) = network.signature().sound {
            let desc = recorder.desc(sound.values)?;
            let fits = matches!(*desc.shape.dims(), [_, steps, channels]
                if channels == frames.channels() && (1..=MOST_FRAMES).contains(&frames.count(steps)));
            if !fits {
                let expected = format!(
                    "[batch, steps, {}] of 1 to {MOST_FRAMES} frames, the first of {} steps",
                    frames.channels(),
                    frames.span
                );
                return Err(Error::new(ErrorKind::Shape, self.facts().architecture, "sound")
                    .expecting(expected)
                    .but_found(desc));
            }
        }
        let hidden = network.record_sound(recorder, sound)?;
        recorder.check_exchanged()?;
        match &self.declared.head {
            None => Ok(vec![(RESULT, hidden)]),
            Some(head) => {
                let results = head.results.iter();
                results.map(|result| Ok((result.name, result.record(recorder, hidden)?))).collect()
            }
        }
    }

    /// The frames of a model of sound that was opened for `task`. Fails for others.
    pub(crate) fn frames_for(&self, task: Option<Task>) -> Result<SoundFrames> {
        let refused = |argument| Error::new(ErrorKind::Unsupported, self.facts().architecture, argument);
        let frames = self.network().signature().sound;
        let frames =
            frames.ok_or_else(|| refused("input").expecting("a model of sound").but_found("one of texts"))?;
        match task {
            Some(task) if task != self.task() => {
                Err(refused("task").expecting(task.name()).but_found(self.task().name()))
            }
            _ => Ok(frames),
        }
    }
}

/// The refusal of tokens by a network that reads sound.
pub(super) fn refuse_tokens(architecture: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, architecture, "input").expecting("sound").but_found("tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_behind_several_convolutions_are_those_of_one_after_the_other() {
        let convolutions = [[10, 5], [3, 2], [3, 2], [2, 2]];
        let frames = SoundFrames::of_convolutions(SoundForm::Samples, 16_000, convolutions.into_iter());
        let frames = frames.unwrap();
        for steps in 0..900 {
            let one_by_one = convolutions.iter().try_fold(steps, |steps: usize, [taps, stride]| {
                steps.checked_sub(*taps).map(|rest| rest / stride + 1)
            });
            assert_eq!(frames.count(steps), one_by_one.unwrap_or(0), "{steps}");
        }
        assert_eq!(frames.seconds(), 40.0 / 16_000.0);
        let huge = [[1 << 12, 1 << 12]; 6];
        assert!(SoundFrames::of_convolutions(SoundForm::Samples, 1, huge.into_iter()).is_none());
    }
}
