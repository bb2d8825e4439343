//! Training: a loss, its gradients and an optimiser as one graph that changes its parameters in place.
//!
//! ```
//! use foveate::runtime::Device;
//! use foveate::ops::optimizer::AdamW;
//! use foveate::train::{Description, Mode, Optimizer, Schedule, Settings, Start, Trainer};
//! use foveate::weights::{Declarations, Weights};
//! use foveate::{DType, Graph, HostTensor, Result, TensorDesc, Value, ops};
//!
//! # fn main() -> Result<()> {
//! // A layer that learns to double: y = x W^T.
//! let mut declarations = Declarations::new();
//! declarations.root().weight("weight", [2, 2])?;
//! let loss = |graph: &mut Graph, _: Mode| -> Result<Value> {
//!     let weight = graph.parameter("weight", TensorDesc::f32([2, 2]))?;
//!     let x = graph.input("x", TensorDesc::f32([8, 2]))?;
//!     let y = ops::linear(graph, x, weight, &ops::Linear::new())?;
//!     let wanted = ops::scale(graph, x, 2.0)?;
//!     ops::mean_squared_error(graph, y, wanted)
//! };
//! let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.05));
//! let weights = Weights::random(&declarations, DType::F32, 1)?.iter().collect::<Result<_>>()?;
//! let start = Start::Weights(&weights);
//! let mut trainer =
//!     Trainer::new(&Device::Cpu, &declarations, &loss, start, Description::default(), settings)?;
//! let x = HostTensor::f32([8, 2], (0..16).map(|i| (i as f32).sin()).collect())?;
//! let first = trainer.step(&[&[("x", &x)]])?.loss;
//! for _ in 0..100 {
//!     trainer.step(&[&[("x", &x)]])?;
//! }
//! assert!(trainer.evaluate(&[("x", &x)])? < 0.01 * first);
//! # Ok(())
//! # }
//! ```
//!
//! Any model is trained by its head's loss:
//!
//! ```text
//! Folder::open(folder, task, labels)            a model's folder, whose files need not have the task's head
//! classification_loss, masked_words_loss,       what a `RecordLoss` records for its model, and
//! language_loss, seq2seq_loss, ctc_loss         padded_inputs, masked_inputs, window_inputs, seq2seq_inputs, ctc_inputs: the batches they read
//! Trainer::streams, Trainer::step_on            for recurrent models: memories that go on from step to step
//! Epochs, split, Masking                        which examples and which words, as functions of a seed
//! Encoder::with_store(model, trainer.weights()) the model at work, on the weights of the training
//! Folder::write(out, &trainer)                  a folder that `Model::open` opens
//! ```
//!
//! Everything a step takes is a pure function of the parameters, the batches and the number of the step, so that two runs give the
//! same bits, and so does one that was interrupted ([`Trainer::save`], [`Start::Checkpoint`]).

mod bytes;
mod checkpoint;
mod ctc;
mod examples;
mod folder;
mod forecast;
mod graphs;
mod language;
mod losses;
mod masking;
mod optimizer;
mod padded;
mod schedule;
mod sequences;
mod settings;
mod start;
mod step;
mod streams;
mod trainer;

pub use bytes::{BYTES, ByteText, MASK, TextBatch};
pub use checkpoint::{Description, Progress};
pub use ctc::{SoundBatch, Utterance, ctc_inputs, ctc_loss};
pub use examples::{Epochs, random_of, split};
pub use folder::{COPIED_FILES, Folder};
pub use forecast::forecast_loss;
pub use graphs::{Mode, RecordLoss, STEP};
pub use language::language_loss;
pub use losses::{classification_loss, masked_words_loss};
pub use masking::{Masked, Masking, masked_inputs};
pub use optimizer::Optimizer;
pub use padded::{Inputs, padded_inputs, result_rows, window_inputs};
pub use schedule::{Decay, Schedule};
pub use sequences::{seq2seq_inputs, seq2seq_loss};
pub use settings::{LossScale, Settings};
pub use start::Start;
pub use trainer::{Batch, StepReport, Trainer};
