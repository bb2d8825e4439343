//! Rules: attention masks and score modifiers, as code.
//!
//! A rule has three forms, each in a file of its own. Users combine [`Mask`] and [`Score`]. [`prepare`] turns them into a [`Rule`], whose tensors are
//! inputs of an attention step. The CPU reference evaluates them by [`reference`]; kernels get the WGSL that [`lower`] composes from the files under
//! `shaders/attention/rules`. Where the keys that a query sees are not one contiguous range, kernels also get block lists, made by a dispatch before
//! them: the blocks of keys that each tile of queries may see. Dilated, strided and fixed masks, with bands beside them or not, are computed in an
//! order of positions in which they are dense, and the few keys of LogSparse masks are gathered one by one ([`pieces`]), where there are as many keys
//! as queries and heads of keys as of queries, and no score rule, softcap, tensor or start of queries; else tiles look their blocks up.
//!
//! To add a mask rule: a variant of `Node` with its constructor (`mask.rs`), what is wrong with it (`check.rs`), its CPU reference (`reference.rs`),
//! and its WGSL file with the call to it (`lower/mask.rs`). To add a score rule: the same with `ScoreRule`, `Term` and
//! `lower/score.rs`.

#[cfg(feature = "check")]
pub(in crate::ops::attention) mod cases;
mod check;
mod custom;
#[cfg(feature = "serde")]
mod json;
mod layout;
pub(in crate::ops::attention) mod lower;
mod mask;
mod pieces;
mod prepare;
pub(in crate::ops::attention) mod reference;
mod score;

pub(in crate::ops::attention) use custom::check_user_functions;
pub use custom::{CustomMask, CustomScore, Pair};
#[cfg(feature = "serde")]
pub use json::RuleDocument;
pub use layout::{BigBird, BlockLayout, LogSparse, global_tokens};
pub use mask::{Alignment, Mask};
pub use score::{Buckets, LogBuckets, Score, alibi_slopes};

pub(in crate::ops::attention) use mask::Band;
use mask::Node;
pub(in crate::ops::attention) use pieces::{KeyDistances, Piece};
pub(in crate::ops::attention) use prepare::{Prepared, prepare};

use std::ops::RangeInclusive;

use super::Dims;

/// The rule of a step. Its tensors are the step's inputs behind those that every step of the op has, by their place among them.
#[derive(Clone, Debug)]
pub(in crate::ops::attention) struct Rule {
    pub(in crate::ops::attention) mask: Mask<usize>,
    pub(in crate::ops::attention) terms: Vec<Term>,
    /// i32 `[batch]`: the key opposite query 0 of each item, in place of what alignments say, which are the default then.
    pub(in crate::ops::attention) query_start: Option<usize>,
    pub(in crate::ops::attention) scale: f64,
    pub(in crate::ops::attention) softcap: Option<f32>,
    /// How many tensors it reads.
    pub(in crate::ops::attention) tensors: usize,
}

/// What a score rule is for the kernels. Numbers of tensors are places as in [`Rule`].
#[derive(Clone, Debug)]
pub(in crate::ops::attention) enum Term {
    /// `[batch or 1, heads or 1, query_time or 1, key_time or 1]`, and whether it is another for each query, and for each key.
    Bias {
        bias: usize,
        by_query: bool,
        by_key: bool,
    },
    /// f32 `[heads]`
    Alibi {
        slopes: usize,
        alignment: Alignment,
    },
    /// f32 `[heads]`
    Gaussian {
        sigma: usize,
        alignment: Alignment,
    },
    /// f32 `[slots, heads]`, and which slot each distance has.
    Distances {
        table: usize,
        slots: usize,
        map: Map,
    },
    /// `[batch, query_time, heads, width]`, and which of the width each distance has.
    QueryTable {
        table: usize,
        width: usize,
        map: Map,
    },
    /// `[batch, key_time, heads, width]`, likewise.
    KeyTable {
        table: usize,
        width: usize,
        map: Map,
    },
    /// `[distances, heads, head_size]`, the first of them `-farthest_after`. The query has two vectors of `head_size`: one for
    /// keys and one for these.
    RelativeKeys {
        keys: usize,
        farthest_after: u32,
        alignment: Alignment,
    },
    /// f32 `[heads]`
    Ramp {
        span: usize,
        ramp: f32,
        alignment: Alignment,
    },
    Custom(CustomScore),
}

/// i32, a number for each distance there may be ([`Rule::distances`]), from the least on.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct Map {
    pub(in crate::ops::attention) slots: usize,
    pub(in crate::ops::attention) alignment: Alignment,
}

impl Alignment {
    /// The key opposite query 0; negative when it lies before the first key.
    pub(in crate::ops::attention) fn shift(self, dims: &Dims) -> i64 {
        match self {
            Self::BottomRight => dims.key_time as i64 - dims.query_time as i64,
            Self::TopLeft => 0,
        }
    }

    /// Distances that there may be, from the least, that of the last key from the first query, to the greatest.
    /// `is_moved` says that queries begin where a tensor says, from `-query_time` to `key_time`.
    pub(super) fn distances(self, dims: &Dims, is_moved: bool) -> RangeInclusive<i64> {
        let (query_time, key_time) = (dims.query_time as i64, dims.key_time as i64);
        let shifts = if is_moved { -query_time..=key_time } else { self.shift(dims)..=self.shift(dims) };
        shifts.start() - (key_time - 1)..=shifts.end() + query_time - 1
    }
}

impl Term {
    /// How many sums over its keys the backward kernel keeps for each query row: sums of score gradients, each times a factor of this term's,
    /// from which the gradient of the term's tensor is computed.
    pub(in crate::ops::attention) fn query_slots(&self) -> usize {
        match self {
            Self::Alibi { .. }
            | Self::Gaussian { .. }
            | Self::Ramp { .. }
            | Self::Bias { by_key: false, .. } => 1,
            Self::Distances { slots, .. } => *slots,
            Self::QueryTable { width, .. } => *width,
            _ => 0,
        }
    }

    /// The same for each key row.
    pub(in crate::ops::attention) fn key_slots(&self) -> usize {
        match self {
            Self::KeyTable { width, .. } => *width,
            Self::Bias { by_query: false, by_key: true, .. } => 1,
            _ => 0,
        }
    }

    /// The tensor it reads whose gradient somebody may want.
    pub(in crate::ops::attention) fn tensor(&self) -> Option<usize> {
        match *self {
            Self::Bias { bias, .. } => Some(bias),
            Self::Alibi { slopes, .. } => Some(slopes),
            Self::Gaussian { sigma, .. } => Some(sigma),
            Self::Distances { table, .. } | Self::QueryTable { table, .. } | Self::KeyTable { table, .. } => {
                Some(table)
            }
            Self::RelativeKeys { keys, .. } => Some(keys),
            Self::Ramp { span, .. } => Some(span),
            Self::Custom(_) => None,
        }
    }
}

impl Rule {
    pub(in crate::ops::attention) fn query_slots(&self) -> usize {
        self.terms.iter().map(Term::query_slots).sum()
    }

    pub(in crate::ops::attention) fn key_slots(&self) -> usize {
        self.terms.iter().map(Term::key_slots).sum()
    }

    /// The dense bias, if there is one.
    pub(in crate::ops::attention) fn bias(&self) -> Option<usize> {
        self.terms.iter().find_map(|term| match term {
            Term::Bias { bias, .. } => Some(*bias),
            _ => None,
        })
    }

    /// Whether the gradient of the bias is made of those of all pairs.
    pub(in crate::ops::attention) fn sums_pairs(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Bias { by_query: true, by_key: true, .. }))
    }

    /// Keys of relative positions, if there are, and the distance of the first of them, negated.
    pub(in crate::ops::attention) fn relative_keys(&self) -> Option<(usize, u32, Alignment)> {
        self.terms.iter().find_map(|term| match *term {
            Term::RelativeKeys { keys, farthest_after, alignment } => Some((keys, farthest_after, alignment)),
            _ => None,
        })
    }

    /// Relative keys of distances that the mask may show: from one to another, both included. None where it shows nothing.
    pub(in crate::ops::attention) fn shown_relative_keys(&self, dims: &Dims) -> Option<(i64, i64)> {
        let (_, farthest_after, alignment) = self.relative_keys()?;
        let all = self.distances(alignment, dims);
        let (least, greatest) = check::distances(&self.mask.0, dims, alignment, &all);
        let row = |distance: i64| distance + i64::from(farthest_after);
        (least <= greatest).then_some((row(least), row(greatest)))
    }

    /// Vectors of `head_size` in each row of the query.
    pub(in crate::ops::attention) fn query_vectors(&self) -> usize {
        1 + usize::from(self.relative_keys().is_some())
    }

    pub(in crate::ops::attention) fn customs(&self) -> impl Iterator<Item = &CustomScore> {
        self.terms.iter().filter_map(|term| match term {
            Term::Custom(rule) => Some(rule),
            _ => None,
        })
    }

    /// Distances that there may be under `alignment`, from the least to the greatest.
    pub(in crate::ops::attention) fn distances(
        &self,
        alignment: Alignment,
        dims: &Dims,
    ) -> RangeInclusive<i64> {
        alignment.distances(dims, self.query_start.is_some())
    }

    /// The mask as ranges of keys, if it is that simple.
    pub(in crate::ops::attention) fn ranges(&self) -> Option<Ranges> {
        // An adaptive span hides keys, too, and passes over distances ask about pairs.
        if self.terms.iter().any(|term| matches!(term, Term::Ramp { .. } | Term::RelativeKeys { .. })) {
            return None;
        }
        self.mask.0.ranges()
    }
}

/// A mask that shows each query one range of keys: a band, the first keys of an item, the query's own sequence, or two of these.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::ops::attention) struct Ranges {
    pub(in crate::ops::attention) band: Band,
    pub(in crate::ops::attention) lengths: Option<usize>,
    pub(in crate::ops::attention) segments: Option<usize>,
}

impl Node<usize> {
    fn ranges(&self) -> Option<Ranges> {
        match self {
            Self::Band(band) => Some(Ranges { band: *band, ..Ranges::default() }),
            Self::Lengths(tensor) => Some(Ranges { lengths: Some(*tensor), ..Ranges::default() }),
            Self::Segments(tensor) => Some(Ranges { segments: Some(*tensor), ..Ranges::default() }),
            Self::All(parts) => {
                let mut all = Ranges::default();
                for part in parts {
                    all = all.and(part.ranges()?)?;
                }
                Some(all)
            }
            _ => None,
        }
    }
}

impl Ranges {
    /// Both, unless that takes two of the same tensor, or two alignments.
    fn and(self, other: Self) -> Option<Self> {
        let one = |a: Option<usize>, b: Option<usize>| match (a, b) {
            (Some(a), Some(b)) => (a == b).then_some(Some(a)),
            (a, b) => Some(a.or(b)),
        };
        let together = Self {
            band: self.band.and(other.band)?,
            lengths: one(self.lengths, other.lengths)?,
            segments: one(self.segments, other.segments)?,
        };
        (together.lengths.is_none() || together.segments.is_none()).then_some(together)
    }
}

impl Band {
    /// Whether it hides any key.
    pub(in crate::ops::attention) fn hides(self) -> bool {
        self.left.is_some() || self.right.is_some()
    }

    fn and(self, other: Self) -> Option<Self> {
        let nearer = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        let alignment = match (self.hides(), other.hides()) {
            (true, true) if self.alignment != other.alignment => return None,
            (true, _) => self.alignment,
            _ => other.alignment,
        };
        Some(Self { left: nearer(self.left, other.left), right: nearer(self.right, other.right), alignment })
    }
}
