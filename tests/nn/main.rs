//! Attention layers: each against a dense computation in plain loops, forward and gradients, on the references and on the device.

mod adaptive;
mod adaptive_span;
mod big_bird;
mod block;
mod chunked;
mod conv;
mod dense;
mod disentangled;
mod gated;
mod half;
mod light_conv;
mod linear_attention;
mod log_sparse;
mod longformer;
mod memory;
mod priors;
mod sparse_transformer;
mod support;
mod transformer_xl;

const BATCH: usize = 2;
const TIME: usize = 24;
const WIDTH: usize = 32;
const HEADS: usize = 4;
const HEAD_SIZE: usize = WIDTH / HEADS;
