//! How the tokens of a batch are laid out.

use crate::graph::{Graph, Value};
use crate::ops::{self, attention::Blocked};
use crate::{Error, ErrorKind, Result};

/// Which positions of `[batch, time]` belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// Each batch item is one whole sequence.
    Rows,
    /// Each batch item is one sequence of its own length, `i32 [batch]`, and padding behind it.
    Padded {
        /// Tokens of each item.
        lengths: Value,
    },
    /// Sequences lie one behind another: `i32 [batch, time]` numbers them and never decreases along time.
    Packed {
        /// The sequence each position belongs to.
        segments: Value,
        /// Sequences with a number below this are results; the others fill up.
        count: usize,
    },
    /// Each batch item continues a stream, whose keys and values are kept in caches from run to run
    /// ([`Recorder::cached`](super::Recorder::cached)).
    Cached {
        /// Tokens that each stream holds already, `i32 [batch]`: the position of its first new one.
        starts: Value,
        /// The most tokens that a stream holds.
        capacity: usize,
    },
    /// Each batch item is the next segment of a stream, whose layers keep what they read of the last tokens as memories from run to run
    /// ([`Recorder::memory`](super::Recorder::memory)).
    Recurrent,
    /// Each batch item continues a stream by some of its tokens, whose layers keep states of a fixed size from run to run, as linear attention does
    /// ([`LinearAttention`](super::LinearAttention)). What lies behind these tokens changes no state.
    Stateful {
        /// The next tokens of each stream, `i32 [batch]`, from none to all of `time`.
        lengths: Value,
    },
}

/// The kinds of [`Layout`], without their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayoutKind {
    /// [`Layout::Rows`]
    Rows,
    /// [`Layout::Padded`]
    Padded,
    /// [`Layout::Packed`]
    Packed,
    /// [`Layout::Cached`]
    Cached,
    /// [`Layout::Recurrent`]
    Recurrent,
    /// [`Layout::Stateful`]
    Stateful,
}

impl LayoutKind {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "whole rows",
            Self::Padded => "padded texts",
            Self::Packed => "packed texts",
            Self::Cached => "streams with caches",
            Self::Recurrent => "segments of streams",
            Self::Stateful => "streams with states of a fixed size",
        }
    }
}

impl Layout {
    /// Which kind it is.
    pub fn kind(&self) -> LayoutKind {
        match self {
            Self::Rows => LayoutKind::Rows,
            Self::Padded { .. } => LayoutKind::Padded,
            Self::Packed { .. } => LayoutKind::Packed,
            Self::Cached { .. } => LayoutKind::Cached,
            Self::Recurrent => LayoutKind::Recurrent,
            Self::Stateful { .. } => LayoutKind::Stateful,
        }
    }

    /// Refuses parts of streams, for a layer that takes whole sequences.
    pub(crate) fn check_whole(&self, layer: &'static str) -> Result<()> {
        match self {
            Self::Rows | Self::Padded { .. } | Self::Packed { .. } => Ok(()),
            Self::Cached { .. } | Self::Recurrent | Self::Stateful { .. } => {
                Err(Error::new(ErrorKind::Unsupported, layer, "layout")
                    .expecting("whole sequences")
                    .but_found("parts of streams"))
            }
        }
    }

    /// The sequence that each position belongs to, where several lie one behind another.
    pub(crate) fn segments(&self) -> Option<Value> {
        match *self {
            Self::Packed { segments, .. } => Some(segments),
            _ => None,
        }
    }

    /// `x: [batch, time, ..]` with zeros behind each whole sequence, for a `layer` that would read padding. Refuses parts of streams.
    pub(crate) fn without_padding(&self, layer: &'static str, graph: &mut Graph, x: Value) -> Result<Value> {
        self.check_whole(layer)?;
        match *self {
            Self::Padded { lengths } => ops::padding::zero_behind(graph, x, lengths),
            _ => Ok(x),
        }
    }

    /// Attention that keeps sequences apart and sees no padding. Of streams, the position of the first query among the keys; what is
    /// not written yet lies behind all queries, so that a causal mask hides it. Streams with states of a fixed size have no keys to be attended to:
    /// [`Recorder::cached`](super::Recorder::cached) refuses them.
    pub fn restrict(&self, spec: Blocked) -> Blocked {
        match *self {
            Self::Rows | Self::Recurrent | Self::Stateful { .. } => spec,
            Self::Padded { lengths } => spec.lengths(lengths),
            Self::Packed { segments, .. } => spec.segments(segments),
            Self::Cached { starts, .. } => spec.query_start(starts),
        }
    }
}
