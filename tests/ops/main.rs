//! What is particular to an op, in a module of its name: errors, known values, choices of kernels. What holds for every op is in
//! `tests/conformance`.

mod argmax;
mod attention;
mod constant;
mod conv;
#[path = "../devices/mod.rs"]
mod devices;
mod dropout;
mod elementwise;
mod embedding;
mod entmax15;
mod fill;
mod finite;
mod index;
mod layout;
mod linear;
mod log_softmax;
mod loss;
mod matmul;
mod max;
mod mean;
mod normalize;
mod optimizer;
mod pool;
mod reshape;
mod rotary;
mod softmax;
mod sparsemax;
mod stop_gradient;
mod submissions;
mod sum;
mod support;
