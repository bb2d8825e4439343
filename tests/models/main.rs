//! Models against the outputs of Hugging Face transformers, on this machine's device and on the CPU references.

mod config;
mod encoder_decoder;
mod encoders;
mod exchange;
mod globals;
mod landmarks;
mod layouts;
mod minilm;
mod nonsense;
mod oracles;
mod packing;
mod recurrent;
mod reformer;
mod search;
mod segments;
mod sentence;
mod stateful;
mod streams;
mod support;
mod variants;

#[path = "../../examples/semantic_search.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is a program of its own")]
mod semantic_search;
