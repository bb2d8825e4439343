//! Ops that treat every element alike.

mod add;
mod cast;
mod multiply;
mod scale;
