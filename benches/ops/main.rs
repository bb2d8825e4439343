//! Benchmarks of the ops: one module per row of the catalogue, under the same name. `cargo bench`, or
//! `cargo bench -- matmul` for one. `benches/README.md` says how to read them.

mod attention;
mod dropout;
mod elementwise;
mod embedding;
mod embedding_backward;
mod fill;
mod layout;
mod linear;
mod log_softmax;
mod log_softmax_backward;
mod loss;
mod matmul;
mod normalize;
mod optimizer;
mod pool;
mod pool_backward;
mod softmax;
mod softmax_backward;
mod sum;
mod support;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    linear::bench,
    matmul::bench,
    attention::blocked::bench,
    attention::blocked_backward::bench,
    softmax::bench,
    log_softmax::bench,
    softmax_backward::bench,
    log_softmax_backward::bench,
    dropout::bench,
    elementwise::activation_backward::bench,
    loss::cross_entropy::bench,
    loss::cross_entropy_backward::bench,
    loss::kl_divergence::bench,
    loss::kl_divergence_backward::bench,
    loss::mean_squared_error::bench,
    loss::mean_squared_error_backward::bench,
    elementwise::add::bench,
    elementwise::cast::bench,
    elementwise::gate_backward::bench,
    elementwise::gelu::bench,
    elementwise::gelu_tanh::bench,
    elementwise::multiply::bench,
    elementwise::relu::bench,
    elementwise::scale::bench,
    elementwise::sigmoid::bench,
    elementwise::silu::bench,
    elementwise::subtract::bench,
    elementwise::tanh::bench,
    normalize::l2_normalize::bench,
    normalize::l2_normalize_backward::bench,
    normalize::layer_norm::bench,
    normalize::layer_norm_backward::bench,
    normalize::rms_norm::bench,
    normalize::rms_norm_backward::bench,
    optimizer::accumulate::bench,
    optimizer::adamw::bench,
    optimizer::global_norm::bench,
    optimizer::sgd::bench,
    pool::bench,
    pool_backward::bench,
    embedding::bench,
    embedding_backward::bench,
    fill::bench,
    sum::bench,
    layout::broadcast::bench,
    layout::concat::bench,
    layout::pad::bench,
    layout::slice::bench,
    layout::transpose::bench,
    support::host,
);
criterion_main!(benches);
