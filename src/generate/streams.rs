//! Streams: texts that are continued together, and the caches of what they hold.

use std::path::Path;

use super::NAME;
use super::graphs::Size;
use super::source::Sources;
use crate::models::is_of_source;
use crate::runtime::State;
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::Checkpoint;
use crate::{Error, ErrorKind, Result};

/// Metadata of a file of streams: how many tokens each holds, how many of them it has dropped, and how many its source text has.
const LENGTHS: &str = "lengths";
const DROPPED: &str = "dropped";
const SOURCE_LENGTHS: &str = "source_lengths";

/// Texts that are continued together. Each has its own length; all have room for the same number of tokens.
#[derive(Debug)]
pub struct Streams {
    pub(super) state: State,
    /// Whether layers keep states of a fixed size, which forget no single token, in the place of caches.
    pub(super) has_states: bool,
    pub(super) lengths: Vec<usize>,
    /// How many of them, its first, are no longer in a stream's caches, as no other will see them.
    pub(super) dropped: Vec<usize>,
    pub(super) capacity: usize,
    /// Rows of caches before a stream's first token, and behind it.
    pub(super) rows: [usize; 2],
    pub(super) sources: Sources,
}

impl Streams {
    /// Tokens that each stream holds.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The most tokens that a stream holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A copy of these streams, which continues by itself from here. Fails when the device has no room.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self {
            state: self.state.fork()?,
            lengths: self.lengths.clone(),
            dropped: self.dropped.clone(),
            sources: self.sources.clone(),
            ..*self
        })
    }

    /// Forgets all tokens, and what a failed step may have left of them; source texts stay. Fails when the device is lost.
    pub fn reset(&mut self) -> Result<()> {
        if self.sources.lengths.is_empty() && self.rows[0] == 0 {
            self.state.reset()?;
        } else if self.state.check_sound().is_err() {
            self.clear()?;
        }
        self.lengths.fill(0);
        self.dropped.fill(0);
        Ok(())
    }

    /// Zeros in all rows of caches that tokens were written to. What is before the first token stays, and so do source texts.
    fn clear(&mut self) -> Result<()> {
        let first = self.rows[0];
        let rows = first + self.rows[1];
        self.zero(self.lengths.len() * rows, |row| row % rows >= first)
    }

    /// Zeros in those of the `parts` of each state that are asked for. Source texts stay.
    fn zero(&mut self, parts: usize, is_wanted: impl Fn(usize) -> bool) -> Result<()> {
        let zeroed = |(name, desc): (String, TensorDesc)| {
            let mut values = self.state.store().read(&name)?.to_f32();
            if !is_of_source(&name) {
                let all = values.chunks_mut(desc.elements() / parts).enumerate();
                all.filter(|(part, _)| is_wanted(*part)).for_each(|(_, part)| part.fill(0.0));
            }
            Ok((name, HostTensor::from_f32(desc.dtype, desc.shape, &values)?))
        };
        let tensors = self.state.store().descs().into_iter().map(zeroed).collect::<Result<Vec<_>>>()?;
        let named: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        self.state.write(&named)
    }

    /// Forgets what a stream holds beyond its first `length` tokens: what comes next is written over it.
    ///
    /// Fails when it holds fewer; of a recurrent model, when it has dropped tokens that the next one would see; and, where layers keep states of a fixed
    /// size, unless it forgets all or nothing, when a failed step has left its mark on all streams, or when the device is lost.
    pub fn truncate(&mut self, stream: usize, length: usize) -> Result<()> {
        let refused = || Error::new(ErrorKind::Argument, NAME, format!("stream {stream}"));
        let held = self.lengths.get(stream).copied();
        if held.is_none_or(|held| held < length) {
            return Err(refused()
                .expecting(format!("one that holds at least {length} tokens"))
                .but_found(held.map_or("none".to_owned(), |held| held.to_string())));
        }
        let held = self.lengths[stream];
        let (least, why) = match self.dropped[stream] {
            _ if self.has_states => (held, "a state forgets no single token"),
            0 => (0, ""),
            dropped => (dropped + self.rows[0], "tokens before it are dropped"),
        };
        if length == 0 {
            if self.has_states && held > 0 {
                // What a failed step has left of the others would pass for sound.
                self.state.check_sound()?;
                self.zero(self.lengths.len(), |other| other == stream)?;
            }
            self.dropped[stream] = 0;
        } else if length < least {
            return Err(refused()
                .expecting(format!("a length of at least {least}, or 0, as {why}"))
                .but_found(length));
        }
        self.lengths[stream] = length;
        Ok(())
    }

    /// The row of the caches that a stream's next token goes to.
    pub(super) fn next_row(&self, stream: usize) -> usize {
        self.rows[0] + self.lengths[stream] - self.dropped[stream]
    }

    /// Writes what the streams hold to the safetensors file at `path` atomically. Fails as [`State::save`] does.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        let metadata = [
            (LENGTHS, list(&self.lengths)),
            (DROPPED, list(&self.dropped)),
            (SOURCE_LENGTHS, list(&self.sources.lengths)),
        ];
        self.state.save_with(path, &metadata)
    }

    /// Goes on from what [`Streams::save`] wrote of as many streams with as much room, of the same model.
    ///
    /// Fails, changing nothing, when the file is damaged or was written of other streams, and when the device is lost.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let checkpoint = Checkpoint::open(path.as_ref())?;
        let numbers = |name: &str, count: usize, most: usize| {
            let listed = checkpoint.metadata(name).unwrap_or("");
            let found: Option<Vec<usize>> =
                listed.split_whitespace().map(|number| number.parse().ok()).collect();
            let fits =
                |found: &Vec<usize>| found.len() == count && found.iter().all(|&length| length <= most);
            found.filter(fits).ok_or_else(|| {
                Error::new(ErrorKind::Weights, checkpoint.source().to_owned(), name.to_owned())
                    .expecting(format!("{count} lengths of at most {most} tokens"))
                    .but_found(format!("{listed:?}"))
            })
        };
        let lengths = numbers(LENGTHS, self.lengths.len(), self.capacity)?;
        let dropped = numbers(DROPPED, self.lengths.len(), self.capacity)?;
        let in_caches = |(length, dropped): (&usize, &usize)| length.checked_sub(*dropped);
        let fits = |held: Option<usize>| held.is_some_and(|held| held <= self.rows[1]);
        if !lengths.iter().zip(&dropped).map(in_caches).all(fits) {
            return Err(Error::new(ErrorKind::Weights, checkpoint.source().to_owned(), DROPPED)
                .expecting(format!("lengths less at most {} tokens, which caches hold", self.rows[1]))
                .but_found(format!("{dropped:?} of {lengths:?}")));
        }
        let of_sources = numbers(SOURCE_LENGTHS, self.sources.lengths.len(), self.sources.capacity)?;
        self.state.load(path)?;
        (self.lengths, self.dropped, self.sources.lengths) = (lengths, dropped, of_sources);
        Ok(())
    }

    pub(super) fn size(&self) -> Size {
        let [before, behind] = self.rows;
        Size { streams: self.lengths.len(), rows: before + behind, source: self.sources.capacity }
    }
}
