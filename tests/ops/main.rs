//! Tests of the ops: one module per row of the catalogue, under the same name.

mod attention;
mod constant;
mod dropout;
mod elementwise;
mod embedding;
mod embedding_backward;
mod fill;
mod gradients;
mod layout;
mod linear;
mod log_softmax;
mod loss;
mod matmul;
mod normalize;
mod optimizer;
mod pool;
mod pool_backward;
mod reshape;
mod softmax;
mod stop_gradient;
mod sum;
mod support;
