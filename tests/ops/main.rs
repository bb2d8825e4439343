//! Tests of the ops: one module per row of the catalogue, under the same name.

mod attention;
mod elementwise;
mod linear;
mod matmul;
mod reshape;
mod softmax;
mod support;
