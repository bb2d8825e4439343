//! From when to when a buffer is needed.

/// The steps, first and last, during which a buffer must keep its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
}
