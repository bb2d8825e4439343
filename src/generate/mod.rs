//! Text from models, token by token: keys and values of what was read stay on the device, so that a step costs one token.
//!
//! ```text
//! Generator::new(&model, &weights, &device)   weights on the device, once
//! generator.start(streams, capacity)          streams that run together, with their caches
//! generator.encode(sources, 1, capacity)      the same for an encoder-decoder, about texts that its encoder reads once
//! generator.feed(&mut streams, &tokens)       any number of tokens each: scores of what comes next
//! generator.generate(prompts, &options, ..)   greedy or sampled
//! generator.beams(prompt, &options)           the likeliest continuations
//! ```
//!
//! A recurrent model reads each token as a segment of its own, with memories that lie in the caches, which hold no more than a token sees; what
//! reads whole segments is [`Segments`](crate::models::Segments).
//!
//! Layers of linear attention keep sums of all that they have read: a step takes the same time and memory however long the text is.
//!
//! One program serves every step: positions are values on the device, caches have a fixed size and change in place.

mod beams;
mod generator;
mod graphs;
mod sample;
mod sampling;
mod source;
mod streams;

pub use beams::{BeamOptions, Hypothesis};
pub use generator::Generator;
pub use sample::Options;
pub use sampling::Sampling;
pub use streams::Streams;

const NAME: &str = "generate";
