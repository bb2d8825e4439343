//! Models against the outputs of Hugging Face transformers, on this machine's device and on the CPU references.

mod config;
mod minilm;
mod oracles;
mod packing;
mod support;
