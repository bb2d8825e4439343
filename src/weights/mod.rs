//! Weights of trained models: a model declares the weights that it needs, and a checkpoint's files are compared with these and loaded.
//!
//! ```text
//! let mut declarations = Declarations::new();          no file needed: memory can be planned without weights
//! declarations.root().at("encoder").weight(..)?        a model walks its paths and declares
//! let checkpoint = Checkpoint::open(folder)?           safetensors, one file or shards
//! let weights = checkpoint.load(&declarations, dtype)? every difference at once, or none
//! for tensor in weights.iter() { .. }                  converted one at a time
//! ```
//!
//! Files are not trusted. A header is checked whole before anything is read through it; nothing is allocated for what a
//! file only claims to hold; names from files reach error messages shortened and on one line.

mod checkpoint;
mod compare;
pub(crate) mod config;
mod convert;
mod declare;
pub(crate) mod file;
pub(crate) mod fresh;
mod header;
mod load;
pub(crate) mod modules;
mod random;
mod write;

pub use checkpoint::{Checkpoint, StoredTensor};
pub use compare::Comparison;
pub use config::{Fields, parse_json, read_json};
pub use declare::{Declaration, Declarations, Scope, Weight};
pub use file::{open_file, read_file};
pub use load::Weights;
pub use write::{write_model, write_tensors};

pub(crate) use crate::quote;
