//! Source texts of encoder-decoders: read once, before anything is written about them.

use super::graphs::Step;
use super::{Generator, NAME, Streams};
use crate::graph::Graph;
use crate::models::{EncoderDecoder, Model, SourceTokens, keep_cross, rounded_time};
use crate::nn::Recorder;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

/// How long the source text of each stream is, and the longest that one may be; nothing for models that read none.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) lengths: Vec<usize>,
    pub(super) capacity: usize,
}

impl Sources {
    /// The lengths as a graph's input, where there are any.
    pub(super) fn input(&self) -> Result<Option<HostTensor>> {
        let lengths: Vec<i32> = self.lengths.iter().map(|&length| length as i32).collect();
        match lengths.len() {
            0 => Ok(None),
            streams => HostTensor::i32([streams], lengths).map(Some),
        }
    }

    /// Stream `i` goes on where stream `from[i]` is.
    pub(super) fn reorder(&mut self, from: &[usize]) {
        if !self.lengths.is_empty() {
            self.lengths = from.iter().map(|&stream| self.lengths[stream]).collect();
        }
    }
}

impl Generator {
    /// Empty streams of at most `capacity` tokens about `sources`, which an encoder-decoder's encoder reads: `copies` of them for each, one
    /// behind another. Texts begin with the model's start token ([`EncoderDecoder::start`]).
    ///
    /// Fails, before anything is run, when the model is no encoder-decoder, when there is no source text, one is empty, too long for the
    /// model or has an id outside the vocabulary, when `copies` or `capacity` is 0, and when the model has fewer positions than `capacity`;
    /// fails also when the device is lost or out of memory.
    pub fn encode(
        &mut self,
        sources: &[impl AsRef<[u32]>],
        copies: usize,
        capacity: usize,
    ) -> Result<Streams> {
        let sources: Vec<&[u32]> = sources.iter().map(AsRef::as_ref).collect();
        let (longest, most) = self.check_sources(&sources)?;
        let time = rounded_time(longest);
        let count = sources.len().saturating_mul(copies);
        let mut streams = self.start_with(count, capacity, time)?;
        let lengths: Vec<usize> = sources.iter().map(|source| source.len()).collect();
        let of_streams = lengths.iter().flat_map(|&length| std::iter::repeat_n(length, copies));
        streams.sources.lengths = of_streams.collect();
        let (texts, first) = (sources.len(), self.model().facts().first_position);
        let (mut ids, mut positions) = (Vec::with_capacity(texts * time), Vec::with_capacity(texts * time));
        for (i, source) in sources.iter().enumerate() {
            ids.extend(source.iter().map(|&id| id as i32));
            ids.resize((i + 1) * time, 0);
            positions.extend((0..time).map(|at| (first + at.min(most - 1)) as i32));
        }
        let lengths = HostTensor::i32([texts], lengths.into_iter().map(|length| length as i32).collect())?;
        let (ids, positions) =
            (HostTensor::i32([texts, time], ids)?, HostTensor::i32([texts, time], positions)?);
        let inputs = [("source_ids", &ids), ("source_positions", &positions), ("source_lengths", &lengths)];
        let (model, dtype) = (self.model().clone(), self.dtype);
        let step = Step::Encode { texts, copies, time };
        self.runner.run_stream(step, &mut streams.state, &inputs, || {
            encode_graph(&model, dtype, [texts, time], copies)
        })?;
        Ok(streams)
    }

    /// The length of the longest source text, and how long one may be.
    fn check_sources(&self, sources: &[&[u32]]) -> Result<(usize, usize)> {
        let Some(EncoderDecoder { max_source_tokens: most, .. }) =
            self.model().network().signature().encoder_decoder
        else {
            return Err(Error::new(ErrorKind::Unsupported, NAME, self.model().facts().architecture)
                .expecting("an encoder-decoder")
                .but_found("a model without an encoder"));
        };
        let vocabulary = self.model().facts().vocab_size;
        for (i, source) in sources.iter().enumerate() {
            let refused = || Error::new(ErrorKind::Argument, NAME, format!("source text {i}"));
            if !(1..=most).contains(&source.len()) {
                return Err(refused().expecting(format!("1 to {most} tokens")).but_found(source.len()));
            }
            if let Some(id) = source.iter().find(|id| **id as usize >= vocabulary) {
                return Err(refused().expecting(format!("ids below {vocabulary}")).but_found(id));
            }
        }
        Ok((sources.iter().map(|source| source.len()).max().unwrap_or(0), most))
    }
}

/// The graph that reads source texts, `[texts, time]`, into the states of `copies` streams each.
fn encode_graph(model: &Model, dtype: DType, shape: [usize; 2], copies: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let source = SourceTokens::declare(&mut graph, shape)?;
    let pairs = model.network().encode(&mut Recorder::new(&mut graph, dtype), &source)?;
    keep_cross(&mut graph, &pairs, copies)?;
    Ok(graph)
}
