//! Ops that treat every element alike.

mod add;
mod cast;
mod gelu;
mod multiply;
mod scale;
