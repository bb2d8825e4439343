//! Tests of the ops: one module per row of the catalogue, under the same name.

mod attention;
mod elementwise;
mod embedding;
mod fill;
mod layout;
mod linear;
mod log_softmax;
mod loss;
mod matmul;
mod normalize;
mod optimizer;
mod pool;
mod reshape;
mod softmax;
mod sum;
mod support;
