//! A model on a device: sequences of token ids in, one tensor a sequence out.
//!
//! Sequences are packed one behind another in place of padding each to the longest. A batch holds up to
//! [`Encoder::batch_tokens`]; its size is rounded up to one of a few, by at most a half, and the programs of the last few sizes
//! are kept.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::sessions::Sessions;
use super::{Facts, Model, Task, Tokens};
use crate::gpu::{Context, Parameters, Program, Session};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result, cpu};

/// Tokens of a batch where nothing else is asked for: enough rows to fill the tiles of every layer.
const BATCH_TOKENS: usize = 2048;

/// The fewest tokens a batch is planned for.
const SMALLEST_BATCH: usize = 16;

/// What an [`Encoder`] runs on.
#[derive(Clone, Debug)]
pub enum Device {
    /// A device through wgpu.
    Gpu(Context),
    /// The CPU references, in f32.
    Cpu,
}

/// The extents a batch is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchSize {
    /// Tokens of all sequences together.
    pub time: usize,
    /// Sequences.
    pub count: usize,
    /// For [`Task::Logits`], positions that scores are asked for.
    pub rows: usize,
}

/// What an [`Encoder`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sequences that were run.
    pub sequences: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Batches they were packed into.
    pub batches: usize,
    /// Time spent on planning and on making programs, the compilation of kernels included.
    pub preparing: Duration,
    /// Time spent on running batches, transfers included.
    pub running: Duration,
}

/// A model with its weights on one device.
#[derive(Debug)]
pub struct Encoder {
    model: Model,
    dtype: DType,
    engine: Engine,
    batch_tokens: usize,
    usage: Usage,
}

#[derive(Debug)]
enum Engine {
    Gpu { context: Context, parameters: Parameters, sessions: Sessions },
    Cpu { parameters: cpu::Parameters<f32> },
}

impl Model {
    /// The graph of a batch of packed sequences: inputs as of [`Tokens::packed`], with [`Task::Logits`] also `rows`, and one output,
    /// `result`.
    pub fn batch_graph(&self, size: BatchSize, dtype: DType) -> Result<Graph> {
        let mut graph = Graph::new();
        let tokens = Tokens::packed(&mut graph, size.time, size.count)?;
        let result = if self.task == Task::Logits {
            let rows = graph.input("rows", TensorDesc::new(DType::I32, [size.rows]))?;
            self.record_logits_at(&mut graph, &tokens, rows, dtype)?
        } else {
            self.record(&mut graph, &tokens, dtype)?
        };
        graph.output("result", result)?;
        Ok(graph)
    }
}

impl Encoder {
    /// Puts the weights on the device.
    ///
    /// Fails when a weight is not finite in its type, and when the device is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        let engine = match device {
            Device::Gpu(context) => Engine::Gpu {
                context: context.clone(),
                parameters: Parameters::upload(context, weights.iter())?,
                sessions: Sessions::default(),
            },
            Device::Cpu => Engine::Cpu { parameters: cpu::Parameters::new(weights.iter())? },
        };
        Ok(Self {
            model: model.clone(),
            dtype: weights.dtype(),
            engine,
            batch_tokens: BATCH_TOKENS,
            usage: Usage::default(),
        })
    }

    /// How many tokens are run at once, where there are that many; at least 1.
    #[must_use]
    pub fn batch_tokens(self, tokens: usize) -> Self {
        Self { batch_tokens: tokens.max(1), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What was done so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// One f32 tensor for each sequence: `[width]` for [`Task::Embed`], `[tokens, width]` for [`Task::Hidden`],
    /// `[tokens, vocab_size]` for [`Task::Logits`].
    ///
    /// Fails when a sequence is empty, longer than the model's positions, or has an id outside its vocabulary, before anything is
    /// run; and when the device is lost or out of memory.
    pub fn run(&mut self, sequences: &[impl AsRef<[u32]>]) -> Result<Vec<HostTensor>> {
        let all: Vec<Vec<usize>> = match self.model.task {
            Task::Logits => sequences.iter().map(|ids| (0..ids.as_ref().len()).collect()).collect(),
            Task::Embed | Task::Hidden => vec![Vec::new(); sequences.len()],
        };
        self.run_wanted(sequences, &all)
    }

    /// [`Encoder::run`] for [`Task::Logits`] at some tokens of each sequence: `[positions, vocab_size]`.
    ///
    /// Fails also for another task, and when there is not one list for each sequence or a position is past its end.
    pub fn run_at(
        &mut self,
        sequences: &[impl AsRef<[u32]>],
        positions: &[Vec<usize>],
    ) -> Result<Vec<HostTensor>> {
        let refused = |argument| Error::new(ErrorKind::Argument, "encoder", argument);
        if self.model.task != Task::Logits {
            return Err(refused("task").expecting("Logits").but_found(format!("{:?}", self.model.task)));
        }
        if sequences.len() != positions.len() {
            return Err(refused("positions")
                .expecting(format!("{} lists, one a sequence", sequences.len()))
                .but_found(positions.len()));
        }
        for (i, (ids, wanted)) in sequences.iter().zip(positions).enumerate() {
            let length = ids.as_ref().len();
            if let Some(past) = wanted.iter().find(|position| **position >= length) {
                let argument = format!("positions of sequence {i}");
                return Err(Error::new(ErrorKind::Argument, "encoder", argument)
                    .expecting(format!("places among its {length} tokens"))
                    .but_found(past));
            }
        }
        self.run_wanted(sequences, positions)
    }

    /// How many of the first `sequences` fit one batch together: at least one, where there is one. Calls with so many at a time run
    /// the same batches as one call with all, unless scores of so many tokens do not fit one binding of the device.
    pub fn fitting(&self, sequences: &[impl AsRef<[u32]>]) -> usize {
        let sequences: Vec<&[u32]> = sequences.iter().take(self.batch_tokens).map(AsRef::as_ref).collect();
        next_batch(&sequences, 0, self.batch_tokens).len().min(sequences.len())
    }

    fn run_wanted(
        &mut self,
        sequences: &[impl AsRef<[u32]>],
        wanted: &[Vec<usize>],
    ) -> Result<Vec<HostTensor>> {
        let sequences: Vec<&[u32]> = sequences.iter().map(AsRef::as_ref).collect();
        check(&sequences, self.model.facts())?;
        let most_rows = self.most_rows();
        let mut results = Vec::with_capacity(sequences.len());
        let mut start = 0;
        while start < sequences.len() {
            let batch = next_batch(&sequences, start, self.batch_tokens);
            let batch = fewer_rows(wanted, batch, most_rows);
            start = batch.end;
            let packed = Packed { sequences: &sequences[batch.clone()], wanted: &wanted[batch] };
            results.extend(self.run_batch(&packed)?);
        }
        Ok(results)
    }

    /// Positions whose scores one binding of the device holds; at least 1.
    fn most_rows(&self) -> usize {
        match &self.engine {
            Engine::Gpu { context, .. } => {
                let row_bytes = self.model.facts().vocab_size * self.dtype.size();
                let most = context.caps().max_binding_bytes.min(context.caps().max_buffer_bytes);
                usize::try_from(most / row_bytes as u64).unwrap_or(usize::MAX).max(1)
            }
            Engine::Cpu { .. } => usize::MAX,
        }
    }

    fn run_batch(&mut self, packed: &Packed<'_>) -> Result<Vec<HostTensor>> {
        let exact = packed.size();
        let size = match self.engine {
            Engine::Gpu { .. } => exact.rounded_up(self.batch_tokens, self.most_rows()),
            Engine::Cpu { .. } => exact,
        };
        let inputs = packed.inputs(size, self.model.facts(), self.model.task)?;
        let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let (start, prepared) = (Instant::now(), self.usage.preparing);
        let mut outputs = match &mut self.engine {
            Engine::Cpu { parameters } => {
                let graph = self.model.batch_graph(size, self.dtype)?;
                cpu::run_f32(&graph, parameters, &inputs)?
            }
            Engine::Gpu { context, parameters, sessions } => {
                let session = sessions.holding(size, &inputs, || {
                    let graph = self.model.batch_graph(size, self.dtype)?;
                    let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
                    let session = Session::with_parameters(&program, parameters, &inputs)?;
                    self.usage.preparing += start.elapsed();
                    Ok(session)
                })?;
                session.run()?;
                session.read()?
            }
        };
        let result = outputs.remove("result").ok_or_else(|| {
            Error::new(ErrorKind::Binding, "encoder", "result").expecting("one output").but_found("none")
        })?;
        self.usage.running += start.elapsed().saturating_sub(self.usage.preparing - prepared);
        self.usage.sequences += packed.sequences.len();
        self.usage.tokens += exact.time;
        self.usage.batches += 1;
        packed.unpack(&result, self.model.task)
    }
}

/// Refuses sequences the model cannot take.
fn check(sequences: &[&[u32]], facts: &Facts) -> Result<()> {
    for (i, ids) in sequences.iter().enumerate() {
        let refused = |argument: String| Error::new(ErrorKind::Argument, "encoder", argument);
        if !(1..=facts.max_tokens).contains(&ids.len()) {
            return Err(refused(format!("sequence {i}"))
                .expecting(format!("1 to {} tokens", facts.max_tokens))
                .but_found(ids.len()));
        }
        if let Some(at) = ids.iter().position(|id| *id as usize >= facts.vocab_size) {
            return Err(refused(format!("sequence {i}, token {at}"))
                .expecting(format!("an id below {}", facts.vocab_size))
                .but_found(ids[at]));
        }
    }
    Ok(())
}

/// The sequences from `start` on that fit a batch together: at least one.
fn next_batch(sequences: &[&[u32]], start: usize, batch_tokens: usize) -> Range<usize> {
    let mut tokens = 0;
    let fitting = sequences[start..].iter().take_while(|ids| {
        tokens += ids.len();
        tokens <= batch_tokens
    });
    start..start + fitting.count().max(1)
}

/// The first sequences of `batch` that want at most `most_rows` scores together: at least one.
fn fewer_rows(wanted: &[Vec<usize>], batch: Range<usize>, most_rows: usize) -> Range<usize> {
    let mut rows = 0;
    let fitting = wanted[batch.clone()].iter().take_while(|positions| {
        rows += positions.len();
        rows <= most_rows
    });
    batch.start..batch.start + fitting.count().max(1)
}

impl BatchSize {
    /// One of a few sizes that is at least this one, and at most half as long again.
    fn rounded_up(self, batch_tokens: usize, most_rows: usize) -> Self {
        let step = (self.time.next_power_of_two() / 4).max(SMALLEST_BATCH);
        let time = self.time.next_multiple_of(step);
        Self {
            time: if self.time <= batch_tokens { time.min(batch_tokens) } else { time },
            count: self.count.next_power_of_two(),
            rows: if self.rows == 0 {
                0
            } else {
                self.rows.next_power_of_two().min(most_rows.max(self.rows))
            },
        }
    }
}

/// Sequences of one batch, and the positions of each that scores are wanted for.
struct Packed<'a> {
    sequences: &'a [&'a [u32]],
    wanted: &'a [Vec<usize>],
}

impl Packed<'_> {
    fn size(&self) -> BatchSize {
        BatchSize {
            time: self.sequences.iter().map(|ids| ids.len()).sum(),
            count: self.sequences.len(),
            rows: self.wanted.iter().map(Vec::len).sum(),
        }
    }

    /// The graph's inputs for a batch of `size`. What fills up are tokens that each see only themselves.
    fn inputs(&self, size: BatchSize, facts: &Facts, task: Task) -> Result<Vec<(&'static str, HostTensor)>> {
        let first = facts.first_position;
        let (mut ids, mut positions, mut segments, mut rows) = (vec![], vec![], vec![], vec![]);
        for (segment, (sequence, wanted)) in self.sequences.iter().zip(self.wanted).enumerate() {
            rows.extend(wanted.iter().map(|position| (ids.len() + position) as i32));
            ids.extend(sequence.iter().map(|&id| id as i32));
            positions.extend((0..sequence.len()).map(|position| (first + position) as i32));
            segments.extend(std::iter::repeat_n(segment as i32, sequence.len()));
        }
        let filling = size.time - ids.len();
        segments.extend((0..filling).map(|i| (size.count + i) as i32));
        ids.resize(size.time, 0);
        positions.resize(size.time, first as i32);
        rows.resize(size.rows, -1);
        let tensor = |data| HostTensor::i32([1, size.time], data);
        let mut inputs = vec![
            ("ids", tensor(ids)?),
            ("positions", tensor(positions)?),
            ("types", tensor(vec![0; size.time])?),
            ("segments", tensor(segments)?),
        ];
        if task == Task::Logits {
            inputs.push(("rows", HostTensor::i32([size.rows], rows)?));
        }
        Ok(inputs)
    }

    /// The batch's result cut into one tensor a sequence.
    fn unpack(&self, result: &HostTensor, task: Task) -> Result<Vec<HostTensor>> {
        let dims = result.shape().dims();
        let width = dims[dims.len() - 1];
        let values = result.to_f32();
        let mut rest = &values[..];
        let mut tensors = Vec::with_capacity(self.sequences.len());
        for (sequence, wanted) in self.sequences.iter().zip(self.wanted) {
            let rows = match task {
                Task::Embed => 1,
                Task::Hidden => sequence.len(),
                Task::Logits => wanted.len(),
            };
            let (own, others) = rest.split_at(rows * width);
            rest = others;
            let shape = if task == Task::Embed { vec![width] } else { vec![rows, width] };
            tensors.push(HostTensor::f32(shape, own.to_vec())?);
        }
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_what_fits_and_at_least_one_sequence() {
        let lengths = [3, 3, 3, 20, 1];
        let ids: Vec<Vec<u32>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        assert_eq!(next_batch(&ids, 0, 8), 0..2);
        assert_eq!(next_batch(&ids, 2, 8), 2..3);
        assert_eq!(next_batch(&ids, 3, 8), 3..4);
        assert_eq!(next_batch(&ids, 4, 8), 4..5);
        let wanted: Vec<Vec<usize>> = lengths.iter().map(|&length| vec![0; length]).collect();
        assert_eq!(fewer_rows(&wanted, 0..3, 6), 0..2);
        assert_eq!(fewer_rows(&wanted, 3..5, 6), 3..4);
    }

    #[test]
    fn sizes_are_few_and_waste_little() {
        let mut sizes = std::collections::BTreeSet::new();
        for time in 1..=2048 {
            let size = BatchSize { time, count: 1, rows: 0 }.rounded_up(2048, usize::MAX);
            assert!(size.time >= time && size.time <= 2048);
            assert!(size.time - time <= SMALLEST_BATCH.max(time / 2), "{time}: {}", size.time);
            sizes.insert(size.time);
        }
        assert!(sizes.len() < 24, "{sizes:?}");
        assert_eq!(
            BatchSize { time: 100, count: 3, rows: 5 }.rounded_up(64, 6),
            BatchSize { time: 128, count: 4, rows: 6 }
        );
    }
}
