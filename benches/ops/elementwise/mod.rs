//! Ops that treat every element alike.

pub(crate) mod add;
pub(crate) mod cast;
pub(crate) mod multiply;
pub(crate) mod scale;
