//! Streams: texts that are continued together, and the programs that read their next tokens.

use std::path::Path;
use std::time::Duration;

use super::NAME;
use super::source::Sources;
use crate::graph::Graph;
use crate::models::{Model, ResultRows, Task, Tokens};
use crate::nn::Recorder;
use crate::plan::Watch;
use crate::runtime::{Device, Runner, State, Store};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::weights::{Checkpoint, Weights};
use crate::{Error, ErrorKind, Result, ops};

/// Tokens of a stream that are read at once: enough rows to fill the tiles of every layer.
const CHUNK: usize = 256;

/// Metadata of a file of streams: how many tokens each holds, and its source text has.
const LENGTHS: &str = "lengths";
const SOURCE_LENGTHS: &str = "source_lengths";

/// A causal language model on a device, which may write about texts that an encoder reads.
#[derive(Debug)]
pub struct Generator {
    model: Model,
    pub(super) dtype: DType,
    pub(super) runner: Runner<Step>,
}

/// Which graph a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Source texts, each for so many streams.
    Encode { texts: usize, copies: usize, time: usize },
    /// The next tokens of each stream.
    Feed { size: Size, time: usize },
    /// Streams that go on where others are.
    Reorder { size: Size },
}

/// How many streams run together, and the most tokens that each of them and its source text have: 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) streams: usize,
    pub(super) capacity: usize,
    pub(super) source: usize,
}

/// Texts that are continued together. Each has its own length; all have room for the same number of tokens.
#[derive(Debug)]
pub struct Streams {
    pub(super) state: State,
    lengths: Vec<usize>,
    capacity: usize,
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

    /// Streams of their own that go on where these are. Fails when the device has no room.
    pub fn fork(&self) -> Result<Self> {
        let (lengths, sources) = (self.lengths.clone(), self.sources.clone());
        Ok(Self { state: self.state.fork()?, lengths, capacity: self.capacity, sources })
    }

    /// Forgets all tokens; source texts stay. Fails when the device is lost.
    pub fn reset(&mut self) -> Result<()> {
        self.lengths.fill(0);
        if self.sources.lengths.is_empty() { self.state.reset() } else { Ok(()) }
    }

    /// Forgets what a stream holds beyond its first `length` tokens: what comes next is written over it. Fails when it holds fewer.
    pub fn truncate(&mut self, stream: usize, length: usize) -> Result<()> {
        match self.lengths.get_mut(stream) {
            Some(held) if length <= *held => {
                *held = length;
                Ok(())
            }
            held => Err(Error::new(ErrorKind::Argument, NAME, format!("stream {stream}"))
                .expecting(format!("one that holds at least {length} tokens"))
                .but_found(held.map_or("none".to_owned(), |held| held.to_string()))),
        }
    }

    /// Writes what the streams hold to the safetensors file at `path`, in one move. Fails as [`State::save`] does.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
        let metadata = [(LENGTHS, list(&self.lengths)), (SOURCE_LENGTHS, list(&self.sources.lengths))];
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
        let of_sources = numbers(SOURCE_LENGTHS, self.sources.lengths.len(), self.sources.capacity)?;
        self.state.load(path)?;
        (self.lengths, self.sources.lengths) = (lengths, of_sources);
        Ok(())
    }

    fn size(&self) -> Size {
        Size { streams: self.lengths.len(), capacity: self.capacity, source: self.sources.capacity }
    }
}

impl Generator {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model cannot continue a text: it must be causal and opened for
    /// [`Task::Logits`]; when a weight is not finite in its type; and when the device is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        Self::with_store(model, weights.dtype(), &Store::upload(device, weights.iter())?)
    }

    /// [`Generator::new`] with weights that are on the device already, of type `dtype`.
    pub fn with_store(model: &Model, dtype: DType, weights: &Store) -> Result<Self> {
        let signature = model.network().signature();
        if !signature.is_causal || signature.is_recurrent || model.task() != Task::Logits {
            let found = match signature {
                _ if signature.is_recurrent => "one that reads segments",
                _ if signature.is_causal => model.task().name(),
                _ => "one that reads whole texts",
            };
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("a causal language model, opened for logits")
                .but_found(found));
        }
        Ok(Self { model: model.clone(), dtype, runner: Runner::new(weights) })
    }

    /// Looks at the scores of every step, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`]
    /// says. Scores depend on all keys and values that streams keep, so [`Watch::Outputs`] notices what is wrong in them, too, without
    /// a pass over all of them at every step.
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
        let (size, time) = (Size { streams, capacity, source }, CHUNK.min(capacity));
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

    /// `streams` empty streams, each of at most `capacity` tokens.
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
        let size = Size { streams, capacity, source };
        let graph = feed_graph(&self.model, self.dtype, size, 1)?;
        let state = State::new(&self.runner.device(), &graph)?;
        let sources = Sources { lengths: Vec::new(), capacity: source };
        Ok(Streams { state, lengths: vec![0; streams], capacity, sources })
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
            let time = chunk(longest - done).min(streams.capacity);
            let parts: Vec<&[u32]> =
                tokens.iter().map(|all| &all[done.min(all.len())..all.len().min(done + time)]).collect();
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

    /// The scores behind the last of each stream's tokens, of which there are at most `time`. What fills up is written behind a stream's
    /// last token, where nothing sees it before it is written over.
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
        let starts = streams.lengths.iter().map(|&held| held as i32).collect();
        let (ids, positions) =
            (HostTensor::i32([count, time], ids)?, HostTensor::i32([count, time], positions)?);
        let types = HostTensor::i32([count, time], vec![0; count * time])?;
        let (starts, rows) = (HostTensor::i32([count], starts)?, HostTensor::i32([count], rows)?);
        let source_lengths = streams.sources.input()?;
        let mut inputs = vec![
            ("ids", &ids),
            ("positions", &positions),
            ("types", &types),
            ("starts", &starts),
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
        let scores = outputs["logits"].to_f32();
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
            .run_stream(step, &mut streams.state, &[("from", &parents)], || reorder_graph(&states, count))?;
        streams.lengths = from.iter().map(|&stream| streams.lengths[stream]).collect();
        streams.sources.reorder(from);
        Ok(())
    }
}

/// Tokens that are read at once of `left`: one of a few sizes, so that few programs are made.
fn chunk(left: usize) -> usize {
    [1, 8, 64, CHUNK].into_iter().find(|size| left <= *size).unwrap_or(CHUNK)
}

/// The graph of the next `time` tokens of each stream: inputs as of [`Tokens::cached`] and [`Tokens::with_cached_source`], and `rows`, the
/// numbers of the tokens whose scores are the output `logits`.
fn feed_graph(model: &Model, dtype: DType, size: Size, time: usize) -> Result<Graph> {
    let Size { streams, capacity, source } = size;
    let mut graph = Graph::new();
    let mut tokens = Tokens::cached(&mut graph, [streams, time], capacity)?;
    if source > 0 {
        tokens = tokens.with_cached_source(&mut graph, source)?;
    }
    let rows = graph.input("rows", TensorDesc::i32([streams]))?;
    let rows = ResultRows { wanted: rows, of_sequences: rows };
    let mut recorder = Recorder::new(&mut graph, dtype);
    for (name, value) in model.record_results(&mut recorder, &tokens, &rows)? {
        graph.output(name, value)?;
    }
    Ok(graph)
}

/// The graph that puts row `from[i]` of every state into its row `i`.
fn reorder_graph(states: &[(String, TensorDesc)], streams: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let from = graph.input("from", TensorDesc::i32([streams]))?;
    for (name, desc) in states {
        let state = graph.state(name, desc.clone())?;
        let rows = ops::reshape(&mut graph, state, [streams, desc.elements() / streams])?;
        let moved = ops::embedding(&mut graph, &[(rows, from)])?;
        let moved = ops::reshape(&mut graph, moved, desc.shape.clone())?;
        graph.update(state, moved)?;
    }
    Ok(graph)
}
