//! The programs that read the next tokens of streams.

use std::time::Duration;

use super::graphs::{SEGMENT, Size, Step, begin_graph, feed_graph, has_states, move_graph};
use super::source::Sources;
use super::{NAME, Streams};
use crate::models::{Model, Task};
use crate::nn::LayoutKind;
use crate::plan::Watch;
use crate::runtime::{Device, Runner, State, Store};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};

/// Tokens of a stream that are read at once: enough rows to fill the tiles of every layer.
const CHUNK: usize = 256;

/// A causal language model on a device, which may write about texts that an encoder reads.
#[derive(Debug)]
pub struct Generator {
    model: Model,
    pub(super) dtype: DType,
    pub(super) runner: Runner<Step>,
}

impl Generator {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model cannot continue a text: it must be causal and opened for
    /// [`Task::Logits`]; when a weight is not finite in its type; and when the device is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        Self::with_store(model, weights.dtype(), &Store::upload(device, weights.iter())?)
    }

    /// [`Generator::new`] with weights that are on the device already, of type `dtype`. What a model makes of its weights alone
    /// ([`Model::with_derived`]) is made of what they hold when this is called.
    pub fn with_store(model: &Model, dtype: DType, weights: &Store) -> Result<Self> {
        Self::check_model(model)?;
        let weights = model.with_derived(weights, dtype, SEGMENT)?;
        Ok(Self { model: model.clone(), dtype, runner: Runner::new(&weights) })
    }

    /// Fails with [`ErrorKind::Unsupported`] when the model cannot continue a text: before its weights are read.
    pub fn check_model(model: &Model) -> Result<()> {
        let signature = model.network().signature();
        let goes_on = signature.continues_texts();
        if !goes_on || model.task() != Task::Logits {
            let found = if goes_on { model.task().name() } else { "one that reads whole texts" };
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("a causal language model, opened for logits")
                .but_found(found));
        }
        Ok(())
    }

    /// Checks the scores of every step, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`] says. Scores
    /// depend on all keys and values that streams keep, so [`Watch::Outputs`] finds such numbers in caches, too, without a pass over these at every
    /// step.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// Bytes that `streams` streams of at most `capacity` tokens take beside the weights, about source texts of at most `source` tokens (0
    /// where the model reads none): what they keep, twice where they are put into another order, and what reading the next tokens takes.
    ///
    /// Fails as [`Generator::start`] does.
    pub fn bytes(&mut self, streams: usize, capacity: usize, source: usize) -> Result<u64> {
        self.check_size(streams, capacity)?;
        let (size, time) = (self.size(streams, capacity, source), CHUNK.min(capacity));
        let (model, dtype) = (&self.model, self.dtype);
        let record = || feed_graph(model, dtype, size, time);
        let kept = record()?;
        let kept = kept.states().iter().map(|(_, value)| Ok(kept.desc(*value)?.buffer_bytes()));
        let kept = kept.sum::<Result<u64>>()?;
        let step = self.runner.bytes(Step::Feed { size, time }, record)?;
        Ok(step + if streams > 1 { 2 * kept } else { kept })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Time spent on planning and making programs so far.
    pub fn preparing(&self) -> Duration {
        self.runner.preparing()
    }

    /// `streams` empty streams, each of at most `capacity` tokens. Caches have room for these or, of a recurrent model, for what is seen of
    /// them: each token as if it were a segment of its own, behind memories of zeros. Where layers keep sums of all that they have read, as linear attention
    /// does, memory and the time of a step are the same whatever the capacity.
    ///
    /// Fails when there is none, when the model has fewer positions than `capacity`, when it is an encoder-decoder, whose streams
    /// [`Generator::encode`] starts, and when the device has no room.
    pub fn start(&self, streams: usize, capacity: usize) -> Result<Streams> {
        if self.model.network().signature().encoder_decoder.is_some() {
            return Err(Error::new(ErrorKind::Argument, NAME, "streams")
                .expecting("source texts, as an encoder-decoder writes about such")
                .but_found("none"));
        }
        self.start_with(streams, capacity, 0)
    }

    /// Empty streams with room for what is read of source texts of at most `source` tokens; 0 where there are none.
    pub(super) fn start_with(&self, streams: usize, capacity: usize, source: usize) -> Result<Streams> {
        self.check_size(streams, capacity)?;
        let memory = self.model.network().signature().memory;
        let size = self.size(streams, capacity, source);
        let graph = feed_graph(&self.model, self.dtype, size, 1)?;
        let mut state = State::new(&self.runner.device(), &graph)?;
        if memory > 0 {
            let graph = begin_graph(&self.model, self.dtype, size)?;
            if !graph.states().is_empty() {
                Runner::new(self.runner.weights()).run_stream((), &mut state, &[], || Ok(graph))?;
            }
        }
        let sources = Sources { lengths: Vec::new(), capacity: source };
        let has_states = has_states(&self.model);
        let (lengths, dropped) = (vec![0; streams], vec![0; streams]);
        let rows = [memory, size.rows - memory];
        Ok(Streams { state, has_states, lengths, dropped, capacity, rows, sources })
    }

    /// The extents of streams of at most `capacity` tokens.
    fn size(&self, streams: usize, capacity: usize, source: usize) -> Size {
        let signature = self.model.network().signature();
        let memory = signature.memory;
        // As many tokens as are seen may be read before those are moved to where the first were.
        let behind =
            if signature.takes(LayoutKind::Recurrent) { capacity.min(2 * memory + CHUNK) } else { capacity };
        Size { streams, rows: memory + behind, source }
    }

    fn check_size(&self, streams: usize, capacity: usize) -> Result<()> {
        let most = self.model.facts().max_tokens;
        for (argument, found, most) in [("streams", streams, 1 << 16), ("capacity", capacity, most)] {
            if !(1..=most).contains(&found) {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting(format!("1 to {most}"))
                    .but_found(found));
            }
        }
        Ok(())
    }

    /// Appends `tokens[i]` to stream `i` and gives the scores of every token to come next, `vocab_size` of them: nothing for a stream
    /// that gets no tokens.
    ///
    /// Fails, before anything is written, when there is not one list for each stream, an id is outside the vocabulary, or a stream has no
    /// room left ([`ErrorKind::Limit`]): all can be continued. Fails also when the device is lost or out of memory.
    pub fn feed(&mut self, streams: &mut Streams, tokens: &[&[u32]]) -> Result<Vec<Option<Vec<f32>>>> {
        self.check(streams, tokens)?;
        let mut scores: Vec<Option<Vec<f32>>> = vec![None; tokens.len()];
        let longest = tokens.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        let mut done = 0;
        while done < longest {
            let time = chunk(longest - done).min(streams.rows[1]);
            let parts: Vec<&[u32]> =
                tokens.iter().map(|all| &all[done.min(all.len())..all.len().min(done + time)]).collect();
            self.make_room(streams, &parts)?;
            let found = self.feed_chunk(streams, &parts, time)?;
            for (scores, row) in scores.iter_mut().zip(found) {
                *scores = row.or_else(|| scores.take());
            }
            done += time;
        }
        Ok(scores)
    }

    fn check(&self, streams: &Streams, tokens: &[&[u32]]) -> Result<()> {
        let refused = |kind, argument: String| Error::new(kind, NAME, argument);
        if tokens.len() != streams.lengths.len() {
            return Err(refused(ErrorKind::Argument, "tokens".into())
                .expecting(format!("{} lists, one a stream", streams.lengths.len()))
                .but_found(tokens.len()));
        }
        let vocabulary = self.model.facts().vocab_size;
        for (i, (tokens, held)) in tokens.iter().zip(&streams.lengths).enumerate() {
            if let Some(id) = tokens.iter().find(|id| **id as usize >= vocabulary) {
                return Err(refused(ErrorKind::Argument, format!("tokens of stream {i}"))
                    .expecting(format!("ids below {vocabulary}"))
                    .but_found(id));
            }
            if held + tokens.len() > streams.capacity {
                return Err(refused(ErrorKind::Limit, format!("stream {i}"))
                    .expecting(format!("at most {} tokens, of which it holds {held}", streams.capacity))
                    .but_found(format!("{} more", tokens.len())));
            }
        }
        Ok(())
    }

    /// The scores behind the last of each stream's tokens, of which there are at most `time`. Padding tokens are written behind a stream's
    /// last token, where nothing attends to them before they are overwritten, or, of streams with states, nowhere.
    fn feed_chunk(
        &mut self,
        streams: &mut Streams,
        tokens: &[&[u32]],
        time: usize,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let count = tokens.len();
        let (mut ids, mut positions, mut rows) = (vec![], vec![], vec![]);
        let facts = *self.model.facts();
        for (i, (tokens, held)) in tokens.iter().zip(&streams.lengths).enumerate() {
            ids.extend(tokens.iter().map(|&id| id as i32));
            ids.resize((i + 1) * time, 0);
            let last = facts.first_position + facts.max_tokens - 1;
            positions.extend((0..time).map(|at| (facts.first_position + held + at).min(last) as i32));
            rows.push(if tokens.is_empty() { -1 } else { (i * time + tokens.len() - 1) as i32 });
        }
        let (name, starts) = match streams.has_states {
            true => ("lengths", tokens.iter().map(|tokens| tokens.len() as i32).collect()),
            false => ("starts", (0..count).map(|stream| streams.next_row(stream) as i32).collect()),
        };
        let (ids, positions) =
            (HostTensor::i32([count, time], ids)?, HostTensor::i32([count, time], positions)?);
        let types = HostTensor::i32([count, time], vec![0; count * time])?;
        let (starts, rows) = (HostTensor::i32([count], starts)?, HostTensor::i32([count], rows)?);
        let source_lengths = streams.sources.input()?;
        let mut inputs = vec![
            ("ids", &ids),
            ("positions", &positions),
            ("types", &types),
            (name, &starts),
            ("rows", &rows),
        ];
        inputs.extend(source_lengths.as_ref().map(|lengths| ("source_lengths", lengths)));
        let (model, dtype, size) = (&self.model, self.dtype, streams.size());
        let outputs =
            self.runner.run_stream(Step::Feed { size, time }, &mut streams.state, &inputs, || {
                feed_graph(model, dtype, size, time)
            })?;
        for (held, tokens) in streams.lengths.iter_mut().zip(tokens) {
            *held += tokens.len();
        }
        let scores = outputs.values().next().map(HostTensor::to_f32).unwrap_or_default();
        let vocabulary = scores.len() / count;
        let row = |(tokens, scores): (&&[u32], &[f32])| (!tokens.is_empty()).then(|| scores.to_vec());
        Ok(tokens.iter().zip(scores.chunks(vocabulary)).map(row).collect())
    }

    /// Stream `i` goes on where stream `from[i]` is.
    ///
    /// Fails when there is not one number for each stream, or one is no stream's; and when the device is lost or out of memory.
    pub fn reorder(&mut self, streams: &mut Streams, from: &[usize]) -> Result<()> {
        let count = streams.lengths.len();
        if from.len() != count || from.iter().any(|&stream| stream >= count) {
            return Err(Error::new(ErrorKind::Argument, NAME, "from")
                .expecting(format!("{count} numbers of streams"))
                .but_found(format!("{from:?}")));
        }
        if from.iter().enumerate().all(|(i, &stream)| i == stream) {
            return Ok(());
        }
        let parents = HostTensor::i32([count], from.iter().map(|&stream| stream as i32).collect())?;
        let states = streams.state.store().descs();
        let step = Step::Reorder { size: streams.size() };
        self.runner
            .run_stream(step, &mut streams.state, &[("from", &parents)], || move_graph(&states, count))?;
        for numbers in [&mut streams.lengths, &mut streams.dropped] {
            *numbers = from.iter().map(|&stream| numbers[stream]).collect();
        }
        streams.sources.reorder(from);
        Ok(())
    }

    /// Where the caches of a recurrent model's stream have no room behind its tokens for those of `parts`, the last tokens, which others see,
    /// are moved to where its first were.
    fn make_room(&mut self, streams: &mut Streams, parts: &[&[u32]]) -> Result<()> {
        let memory = streams.rows[0];
        let size = streams.size();
        let is_full = |(stream, part): (usize, &&[u32])| {
            (streams.next_row(stream) + part.len() > size.rows).then_some(stream)
        };
        let full: Vec<usize> = parts.iter().enumerate().filter_map(is_full).collect();
        if full.is_empty() {
            return Ok(());
        }
        let mut from: Vec<i32> = (0..(size.streams * size.rows) as i32).collect();
        for &stream in &full {
            let (first, last) = (stream * size.rows + memory, stream * size.rows + streams.next_row(stream));
            (0..memory).for_each(|row| from[first + row] = (last - memory + row) as i32);
        }
        let from = HostTensor::i32([size.streams * size.rows], from)?;
        let states = streams.state.store().descs();
        self.runner.run_stream(Step::Move { size }, &mut streams.state, &[("from", &from)], || {
            move_graph(&states, size.streams * size.rows)
        })?;
        full.into_iter().for_each(|stream| streams.dropped[stream] = streams.lengths[stream] - memory);
        Ok(())
    }
}

/// Tokens that are read at once of `left`: one of a few sizes, so that few programs are made.
fn chunk(left: usize) -> usize {
    [1, 8, 64, CHUNK].into_iter().find(|size| left <= *size).unwrap_or(CHUNK)
}
