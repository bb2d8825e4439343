//! A model on a device: sequences of token ids in, one tensor a sequence out.
//!
//! Sequences are packed one behind another in place of padding each to the longest. Where a network cannot tell packed sequences apart,
//! those of about one length share a padded batch, and where padding would change its results, those of one length a batch without any. A
//! batch holds up to [`Encoder::batch_tokens`]; its size is rounded up to one of a few, by at most a half, and the programs of the last few
//! sizes are kept.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, BatchSize, fewer_rows, next_batch, order};
use super::batch_graph::{Exchanged, no_batch};
use super::{Item, Model, Task};
use crate::nn::{Attend, LayoutKind};
use crate::plan::Watch;
use crate::runtime::{Device, Outputs, Runner, Store};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};

pub(super) const NAME: &str = "encoder";

/// Tokens of a batch where nothing else is asked for: enough rows to fill the tiles of every layer.
const BATCH_TOKENS: usize = 2048;

/// What an [`Encoder`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Sequences that were run.
    pub sequences: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Batches they were run in.
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
    runner: Runner<BatchSize>,
    batch_tokens: usize,
    layout: LayoutKind,
    keeps_hidden: bool,
    exchange: Option<Exchanged>,
    usage: Usage,
}

impl Encoder {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model is an encoder-decoder or recurrent, when a weight is not finite in its type, and
    /// when the device is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        Self::check_model(model)?;
        Self::with_store(model, &Store::upload(device, weights.iter())?, weights.dtype())
    }

    /// A model whose weights, of type `dtype`, are on their device already, such as those of a training
    /// ([`Trainer::weights`](crate::train::Trainer::weights)). On a device through wgpu each run reads what they hold then, on the CPU
    /// references what they hold when this is called.
    ///
    /// Fails with [`ErrorKind::Unsupported`] as [`Encoder::new`] does; a weight that is missing or of another type fails the first run.
    pub fn with_store(model: &Model, weights: &Store, dtype: DType) -> Result<Self> {
        Self::check_model(model)?;
        Ok(Self {
            model: model.clone(),
            dtype,
            runner: Runner::new(weights),
            batch_tokens: BATCH_TOKENS.min(most_tokens(model, &weights.device())),
            layout: Self::layouts(model).next().unwrap_or(LayoutKind::Rows),
            keeps_hidden: false,
            exchange: None,
            usage: Usage::default(),
        })
    }

    fn check_model(model: &Model) -> Result<()> {
        if let Some(found) = model.network().signature().other_texts() {
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("a model that reads one text at once")
                .but_found(found));
        }
        Ok(())
    }

    /// How batches of the model may lie, the best first.
    fn layouts(model: &Model) -> impl Iterator<Item = LayoutKind> {
        let signature = model.network().signature();
        let whole = [LayoutKind::Packed, LayoutKind::Padded, LayoutKind::Rows];
        // Rows of the texts' own lengths are not filled up.
        let is_filled = move |layout| layout == LayoutKind::Padded || signature.padded_to.is_none();
        // Nor are others where padding changes what a text gives.
        let is_alike = move |layout| layout == LayoutKind::Rows || !signature.depends_on_padding;
        whole
            .into_iter()
            .filter(move |layout| signature.takes(*layout) && is_filled(*layout) && is_alike(*layout))
    }

    /// Sets how sequences of a batch are laid out. The default is the first of these that the model takes: [`LayoutKind::Packed`],
    /// [`LayoutKind::Padded`] to a few lengths, [`LayoutKind::Rows`] of one length each. What is computed is the same, but for ConvBERT, whose
    /// convolutions read padding where there is some, as in Hugging Face's code.
    ///
    /// Fails for another layout, and for one that the model does not take: of a model whose texts are filled up to one length
    /// ([`Signature::padded_to`](super::Signature::padded_to)), all but [`LayoutKind::Padded`].
    pub fn with_layout(self, layout: LayoutKind) -> Result<Self> {
        if Self::layouts(&self.model).any(|known| known == layout) {
            return Ok(Self { layout, ..self });
        }
        let names: Vec<&str> = Self::layouts(&self.model).map(LayoutKind::name).collect();
        Err(no_batch(layout).expecting(names.join(", ")))
    }

    /// How many tokens are run at once, where there are that many; at least 1. No more than what one binding of the device can hold of them.
    #[must_use]
    pub fn batch_tokens(self, tokens: usize) -> Self {
        let batch_tokens = tokens.clamp(1, most_tokens(&self.model, &self.runner.device()));
        Self { batch_tokens, ..self }
    }

    /// Also gives the hidden states of all layers: `hidden.0` (what the first layer reads) and so on.
    #[must_use]
    pub fn with_hidden(self) -> Self {
        Self { keeps_hidden: true, ..self }
    }

    /// Checks the results of every batch, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`] says:
    /// activations may overflow f16, and weights in f32 be large enough for the same.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// Puts `attend` in the place of the attention of the layers with these numbers, or of all ([`Recorder::exchange`](crate::nn::Recorder::exchange)). Where it cannot tell
    /// several texts in a row apart ([`Attend::takes_several`]), only texts of one length share a batch.
    ///
    /// The first run fails when the model has no such layers.
    #[must_use]
    pub fn exchanging(self, attend: Arc<dyn Attend>, layers: Option<Vec<usize>>) -> Self {
        let layout = if attend.takes_several() { self.layout } else { LayoutKind::Rows };
        Self { exchange: Some((attend, layers)), layout, ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What was done so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// One f32 tensor for each sequence, the task's first result: `[width]` for [`Task::Embed`], `[tokens, width]` for
    /// [`Task::Hidden`], `[tokens, vocab_size]` for [`Task::Logits`], `[labels]` for [`Task::Classify`], `[tokens, labels]` for
    /// [`Task::Label`], `[tokens, 2]` for [`Task::Answer`].
    ///
    /// Fails when a sequence is empty, longer than the model's positions, or has an id outside its vocabulary, before anything is
    /// run; and when the device is lost or out of memory.
    pub fn run(&mut self, sequences: &[impl AsRef<[u32]>]) -> Result<Vec<HostTensor>> {
        let items: Vec<Item<'_>> = sequences.iter().map(|ids| Item::new(ids.as_ref())).collect();
        self.run_first(&items)
    }

    /// [`Encoder::run`] for [`Task::Logits`] at some tokens of each sequence: `[positions, vocab_size]`.
    ///
    /// Fails also for another task, and when there is not one list for each sequence or a position is past its end.
    pub fn run_at(
        &mut self,
        sequences: &[impl AsRef<[u32]>],
        positions: &[Vec<usize>],
    ) -> Result<Vec<HostTensor>> {
        let refused = |argument| Error::new(ErrorKind::Argument, NAME, argument);
        if self.model.task() != Task::Logits {
            return Err(refused("task").expecting("Logits").but_found(format!("{:?}", self.model.task())));
        }
        if sequences.len() != positions.len() {
            return Err(refused("positions")
                .expecting(format!("{} lists, one a sequence", sequences.len()))
                .but_found(positions.len()));
        }
        let pairs = sequences.iter().zip(positions);
        let items: Vec<Item<'_>> =
            pairs.map(|(ids, wanted)| Item { wanted: Some(wanted), ..Item::new(ids.as_ref()) }).collect();
        self.run_first(&items)
    }

    /// The task's first result of each sequence, as [`Encoder::run`] gives it. Fails as [`Encoder::run_items`] does.
    pub fn run_first(&mut self, items: &[Item<'_>]) -> Result<Vec<HostTensor>> {
        let name = self.model.first_result();
        let missing = || Error::new(ErrorKind::Binding, NAME, name).expecting("an output").but_found("none");
        let outputs = self.run_items(items)?;
        outputs.into_iter().map(|mut outputs| outputs.remove(name).ok_or_else(missing)).collect()
    }

    /// All results of each sequence by name, f32.
    ///
    /// Fails as [`Encoder::run`] does; and when types are not one for each token or unknown to the model, a place is past its sequence's
    /// end, or global tokens are given to a model that does not read them.
    pub fn run_items(&mut self, items: &[Item<'_>]) -> Result<Vec<Outputs>> {
        items.iter().enumerate().try_for_each(|(number, item)| item.check(number, &self.model))?;
        let order = order(items, self.layout);
        let sorted: Vec<Item<'_>> = order.iter().map(|&number| items[number]).collect();
        let mut results = vec![Outputs::new(); items.len()];
        for batch in self.batches(&sorted) {
            let model = self.model.clone();
            let numbers = &order[batch.clone()];
            let outputs =
                self.run_batch(&Batch { model: &model, items: &sorted[batch], layout: self.layout })?;
            for (number, outputs) in numbers.iter().zip(outputs) {
                results[*number] = outputs;
            }
        }
        Ok(results)
    }

    /// Bytes that the largest batch of `items` takes beside the weights: its inputs, its results, which are read back, and what lies
    /// between. Fails as [`Encoder::run_items`] does before anything is run.
    pub fn bytes(&mut self, items: &[Item<'_>]) -> Result<u64> {
        items.iter().enumerate().try_for_each(|(number, item)| item.check(number, &self.model))?;
        let order = order(items, self.layout);
        let sorted: Vec<Item<'_>> = order.iter().map(|&number| items[number]).collect();
        let batches = self.batches(&sorted).into_iter();
        let sizes = batches.map(|batch| {
            self.size_of(&Batch { model: &self.model, items: &sorted[batch], layout: self.layout })
        });
        let Some(size) = sizes.max_by_key(|size| (size.shape().iter().product::<usize>(), size.rows)) else {
            return Ok(0);
        };
        let (model, dtype, keeps_hidden) = (&self.model, self.dtype, self.keeps_hidden);
        let exchange = self.exchange.as_ref();
        self.runner.bytes(size, || model.batch_graph_with(size, dtype, keeps_hidden, exchange))
    }

    /// Which of the items, in the order that they lie in, are run together.
    fn batches(&self, sorted: &[Item<'_>]) -> Vec<Range<usize>> {
        let most_rows = self.most_rows();
        let (mut batches, mut start) = (Vec::new(), 0);
        while start < sorted.len() {
            let fitting = next_batch(sorted, self.layout, start, self.most_together());
            let batch = fewer_rows(sorted, fitting, most_rows);
            start = batch.end;
            batches.push(batch);
        }
        batches
    }

    /// The size that a batch is run in.
    fn size_of(&self, batch: &Batch<'_>) -> BatchSize {
        let mut size = batch.size();
        if self.runner.device().is_planned() {
            // Texts that are filled up are so to one length, which may exceed what is read of them.
            let filled = self.model.network().signature().padded_to;
            let most_tokens = filled.map_or(self.model.facts().max_tokens, |padded_to| padded_to.tokens);
            size = size.rounded_up(self.batch_tokens, self.most_rows(), most_tokens);
        }
        batch.with_rows(size)
    }

    /// How many of the first `sequences` fit one batch together, packed: at least one, where there is one. Calls with so many at a time run
    /// the same packed batches as one call with all, unless scores of so many tokens do not fit one binding of the device.
    pub fn fitting(&self, sequences: &[impl AsRef<[u32]>]) -> usize {
        let sequences = sequences.iter().take(self.batch_tokens);
        let items: Vec<Item<'_>> = sequences.map(|ids| Item::new(ids.as_ref())).collect();
        next_batch(&items, LayoutKind::Packed, 0, self.most_together()).len().min(items.len())
    }

    /// Tokens of several sequences that are run together; those of one may be more.
    fn most_together(&self) -> usize {
        match self.model.network().signature().padded_to {
            // Texts beside a text change its results.
            Some(_) => 1,
            None => self.batch_tokens,
        }
    }

    /// Positions whose scores one binding of the device holds; at least 1.
    fn most_rows(&self) -> usize {
        let row_bytes = self.model.facts().vocab_size * self.dtype.size();
        let most = self.runner.device().max_tensor_bytes() / row_bytes as u64;
        usize::try_from(most).unwrap_or(usize::MAX).max(1)
    }

    fn run_batch(&mut self, batch: &Batch<'_>) -> Result<Vec<Outputs>> {
        let size = self.size_of(batch);
        let inputs = batch.inputs(size)?;
        let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let (start, prepared) = (Instant::now(), self.runner.preparing());
        let (model, dtype, keeps_hidden) = (&self.model, self.dtype, self.keeps_hidden);
        let exchange = self.exchange.as_ref();
        let outputs =
            self.runner.run(size, &inputs, || model.batch_graph_with(size, dtype, keeps_hidden, exchange))?;
        self.usage.preparing = self.runner.preparing();
        self.usage.running += start.elapsed().saturating_sub(self.usage.preparing - prepared);
        self.usage.sequences += batch.items.len();
        self.usage.tokens += batch.items.iter().map(|item| item.ids.len()).sum::<usize>();
        self.usage.batches += 1;
        batch.unpack(&outputs, size)
    }
}

/// Tokens of which one binding of the device holds what a step of the model needs of each; at least 1.
fn most_tokens(model: &Model, device: &Device) -> usize {
    let numbers = model.network().signature().numbers_per_token as u64;
    // In f32 whatever the storage. A sixteenth is left for what lies beside them.
    let most = device.max_tensor_bytes() / 16 * 15 / (4 * numbers).max(1);
    usize::try_from(most).unwrap_or(usize::MAX).max(1)
}
