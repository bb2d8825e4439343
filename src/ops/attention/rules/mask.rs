//! Which keys a query sees: rules, and what they are combined to.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use super::{BigBird, BlockLayout, CustomMask, LogSparse};
use crate::graph::Value;

/// Rules of a mask, combinations included.
pub(super) const MOST_RULES: usize = 128;

/// Which key stands opposite a query when there are more of the one than of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alignment {
    /// The last query stands opposite the last key: query `i` at key `i + key_time - query_time`. What decoding needs with a cache that is
    /// as long as it is full (for one of fixed length, see [`Blocked::query_start`](super::super::Blocked::query_start)), and what flash-attn
    /// does since 2.1.
    #[default]
    BottomRight,
    /// The first query stands opposite the first key: query `i` at key `i`. PyTorch's `is_causal`.
    TopLeft,
}

/// Which keys a query sees. Rules are combined with `&`, `|` and `!`:
///
/// ```
/// use foveate::ops::attention::Mask;
///
/// let prefix_lm: Mask = Mask::causal() | Mask::prefix(9);
/// let strictly_causal: Mask = Mask::causal() & !Mask::window(0, 0);
/// ```
///
/// A mask is code, not data: for each tile of queries it gives the ranges of keys that are visible at all, and single pairs are tested only in tiles
/// that are visible in part. Only [`Mask::dense`] has a matrix of queries by keys, one bit a pair.
///
/// A mask has at most 128 rules, each `&`, `|` and `!` counted as one. Of a larger one only the number of rules is kept, and ops refuse it
/// with [`ErrorKind::Limit`](crate::ErrorKind::Limit).
///
/// Positions are those of [`Alignment::BottomRight`] unless [`Mask::aligned`] says otherwise. `T` is how a rule refers to tensors that it reads: by
/// values of a graph, or by names.
#[derive(Clone, Debug)]
pub struct Mask<T = Value>(pub(super) Node<T>);

/// A rule, or rules combined.
#[derive(Clone, Debug)]
pub(super) enum Node<T> {
    Band(Band),
    Dilated(Dilated),
    SameBlock {
        size: u32,
        alignment: Alignment,
    },
    Columns {
        period: u32,
        from: u32,
    },
    LogSparse {
        spec: LogSparse,
        alignment: Alignment,
    },
    Prefix(u32),
    Lengths(T),
    Segments(T),
    GlobalKeys(T),
    GlobalQueries(T),
    BigBird(BigBird),
    Blocks(Blocks<T>),
    Dense(T),
    Custom(CustomMask),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// How many rules there were, more than [`MOST_RULES`]. Nothing else of them is kept, so that no walk over a mask goes deep.
    TooMany(usize),
}

/// Keys within a distance of the one opposite the query, both bounds inclusive; all when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ops::attention) struct Band {
    pub(in crate::ops::attention) left: Option<u32>,
    pub(in crate::ops::attention) right: Option<u32>,
    pub(in crate::ops::attention) alignment: Alignment,
}

/// Every `dilation`-th key from the one opposite the query on, `left` steps before it and `right` after it.
#[derive(Clone, Debug)]
pub(super) struct Dilated {
    pub(super) left: Option<u32>,
    pub(super) right: Option<u32>,
    /// One for all heads, or one for each.
    pub(super) dilation: Vec<u32>,
    pub(super) alignment: Alignment,
}

/// A layout, and where its data lies once it is part of a graph.
#[derive(Clone, Debug)]
pub(super) struct Blocks<T> {
    pub(super) layout: Arc<BlockLayout>,
    pub(super) data: Option<T>,
}

impl<T> Mask<T> {
    /// Every key.
    pub fn full() -> Self {
        Self(Node::Band(Band::default()))
    }

    /// The key opposite the query and all before it.
    pub fn causal() -> Self {
        Self(Node::Band(Band { right: Some(0), ..Band::default() }))
    }

    /// From `left` keys before the one opposite the query to `right` keys after it, both inclusive.
    pub fn window(left: u32, right: u32) -> Self {
        Self(Node::Band(Band { left: Some(left), right: Some(right), ..Band::default() }))
    }

    /// [`Mask::window`], unlimited where a bound is absent.
    pub fn band(left: Option<u32>, right: Option<u32>) -> Self {
        Self(Node::Band(Band { left, right, ..Band::default() }))
    }

    /// The key opposite the query and every `dilation`-th key from there, up to `half_width` of them on either side (Longformer, arXiv
    /// 2004.05150, section 3.1). One dilation for all heads, or one for each.
    pub fn dilated_window(half_width: u32, dilation: impl Into<Vec<u32>>) -> Self {
        let (bound, alignment) = (Some(half_width), Alignment::default());
        Self(Node::Dilated(Dilated { left: bound, right: bound, dilation: dilation.into(), alignment }))
    }

    /// The first `count` keys. [`Mask::causal`]` | Mask::prefix(n)` is a prefix language model's mask (UniLM, arXiv 1905.03197).
    pub fn prefix(count: u32) -> Self {
        Self(Node::Prefix(count))
    }

    /// The first keys of each batch item, as many as `lengths: i32 [batch]` says: padding is not seen, or each item has a prefix of its
    /// own. Counts below 0 mean 0, and counts above `key_time` mean all. Alignment goes by `key_time`, not by these.
    pub fn lengths(lengths: T) -> Self {
        Self(Node::Lengths(lengths))
    }

    /// Keys of the query's own sequence, where sequences of different lengths lie one behind another along time: `i32 [batch, time]`,
    /// an id for each token. The time of queries and keys must be equal.
    ///
    /// Ids may be any numbers but never decrease along time. Positions that belong to no sequence take ids of their own
    /// behind all others; cheapest is a different one for each. Where ids decrease, a query sees itself and unspecified other
    /// keys of its batch item.
    pub fn segments(ids: T) -> Self {
        Self(Node::Segments(ids))
    }

    /// Keys that every query sees: `i32 [batch, count]`, positions along `key_time`. Numbers that are no position, such as -1, stand for
    /// none. [`global_tokens`](super::global_tokens) makes such a tensor from lists.
    pub fn global_keys(positions: T) -> Self {
        Self(Node::GlobalKeys(positions))
    }

    /// Queries that see every key: `i32 [batch, count]`, positions along `query_time`; as [`Mask::global_keys`].
    pub fn global_queries(positions: T) -> Self {
        Self(Node::GlobalQueries(positions))
    }

    /// Tokens that see all others and that all others see: [`Mask::global_keys`] or [`Mask::global_queries`].
    pub fn globals(positions: T) -> Self
    where
        T: Clone,
    {
        Self::global_keys(positions.clone()) | Self::global_queries(positions)
    }

    /// A window of `half_width` keys on either side, and global tokens (Longformer, arXiv 2004.05150). `half_width` is one side, as
    /// in the authors' code; Hugging Face's `attention_window` counts both.
    pub fn longformer(half_width: u32, globals: T) -> Self
    where
        T: Clone,
    {
        Self::window(half_width, half_width) | Self::globals(globals)
    }

    /// Pairs of blocks that a layout holds.
    pub fn blocks(layout: BlockLayout) -> Self {
        Self(Node::Blocks(Blocks { layout: Arc::new(layout), data: None }))
    }

    /// Keys of the query's own block of `size`.
    pub fn block_diagonal(size: u32) -> Self {
        Self(Node::SameBlock { size, alignment: Alignment::default() })
    }

    /// Sparse Transformer's strided attention (arXiv 1904.10509, section 4.2): of the keys up to the one opposite the query, the last
    /// `stride`, and every `stride`-th before them.
    pub fn strided(stride: u32) -> Self {
        let strides = Node::Dilated(Dilated {
            left: None,
            right: Some(0),
            dilation: vec![stride],
            alignment: Alignment::default(),
        });
        let local =
            Node::Band(Band { left: Some(stride.saturating_sub(1)), right: Some(0), ..Band::default() });
        Self(Node::Any(vec![local, strides]))
    }

    /// Sparse Transformer's fixed attention (arXiv 1904.10509, section 4.2): of the keys up to the one opposite the query, those of its
    /// own block of `stride`, and the last `expressivity` of every block.
    pub fn fixed(stride: u32, expressivity: u32) -> Self {
        let last = Node::Columns { period: stride, from: stride.saturating_sub(expressivity) };
        let own = Node::SameBlock { size: stride, alignment: Alignment::default() };
        Self(Node::All(vec![Self::causal().0, Node::Any(vec![own, last])]))
    }

    /// Windows, global blocks and random blocks (BigBird, arXiv 2007.14062).
    pub fn big_bird(spec: BigBird) -> Self {
        Self(Node::BigBird(spec))
    }

    /// Keys at exponentially growing distances before the query (LogSparse Transformer, arXiv 1907.00235).
    pub fn log_sparse(spec: LogSparse) -> Self {
        Self(Node::LogSparse { spec, alignment: Alignment::default() })
    }

    /// Any pairs at all, the last resort: `i32 [batch or 1, heads or 1, query_time, key_time]`, seen where it is not 0. It takes memory
    /// of the product of both times.
    pub fn dense(pairs: T) -> Self {
        Self(Node::Dense(pairs))
    }

    /// A rule of your own.
    pub fn custom(rule: CustomMask) -> Self {
        Self(Node::Custom(rule))
    }

    /// The same mask under another alignment, in every part of it.
    #[must_use]
    pub fn aligned(self, alignment: Alignment) -> Self {
        Self(self.0.aligned(alignment))
    }

    /// The same mask with other tensors: the results of `map`, called in an order that never changes.
    pub fn map<U>(&self, map: &mut impl FnMut(&T) -> U) -> Mask<U> {
        Mask(self.0.map(map))
    }
}

impl<T> Node<T> {
    fn aligned(self, alignment: Alignment) -> Self {
        let all = |parts: Vec<Self>| parts.into_iter().map(|part| part.aligned(alignment)).collect();
        match self {
            Self::Band(band) => Self::Band(Band { alignment, ..band }),
            Self::Dilated(dilated) => Self::Dilated(Dilated { alignment, ..dilated }),
            Self::SameBlock { size, .. } => Self::SameBlock { size, alignment },
            Self::LogSparse { spec, .. } => Self::LogSparse { spec, alignment },
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Not(part) => Self::Not(Box::new(part.aligned(alignment))),
            unaligned => unaligned,
        }
    }

    pub(super) fn map<U>(&self, map: &mut impl FnMut(&T) -> U) -> Node<U> {
        match self {
            Self::Band(band) => Node::Band(*band),
            Self::Dilated(dilated) => Node::Dilated(dilated.clone()),
            &Self::SameBlock { size, alignment } => Node::SameBlock { size, alignment },
            &Self::Columns { period, from } => Node::Columns { period, from },
            &Self::LogSparse { spec, alignment } => Node::LogSparse { spec, alignment },
            &Self::Prefix(count) => Node::Prefix(count),
            Self::Lengths(tensor) => Node::Lengths(map(tensor)),
            Self::Segments(tensor) => Node::Segments(map(tensor)),
            Self::GlobalKeys(tensor) => Node::GlobalKeys(map(tensor)),
            Self::GlobalQueries(tensor) => Node::GlobalQueries(map(tensor)),
            Self::BigBird(spec) => Node::BigBird(*spec),
            Self::Blocks(blocks) => Node::Blocks(Blocks {
                layout: blocks.layout.clone(),
                data: blocks.data.as_ref().map(&mut *map),
            }),
            Self::Dense(tensor) => Node::Dense(map(tensor)),
            Self::Custom(rule) => Node::Custom(rule.clone()),
            Self::All(parts) => Node::All(parts.iter().map(|part| part.map(map)).collect()),
            Self::Any(parts) => Node::Any(parts.iter().map(|part| part.map(map)).collect()),
            Self::Not(part) => Node::Not(Box::new(part.map(map))),
            &Self::TooMany(rules) => Node::TooMany(rules),
        }
    }

    /// How many rules there are, combinations included.
    pub(super) fn rules(&self) -> usize {
        match self {
            Self::TooMany(rules) => *rules,
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().fold(1, |rules, part| rules.saturating_add(part.rules()))
            }
            Self::Not(part) => part.rules().saturating_add(1),
            _ => 1,
        }
    }

    /// A new combination, unless it has too many rules.
    fn limited(self) -> Self {
        match self.rules() {
            ..=MOST_RULES => self,
            rules => Self::TooMany(rules),
        }
    }
}

/// Both must show a key.
impl<T> BitAnd for Mask<T> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        let both = match (self.0, other.0) {
            (Node::All(mut parts), Node::All(others)) => {
                parts.extend(others);
                Node::All(parts)
            }
            (Node::All(mut parts), part) | (part, Node::All(mut parts)) => {
                parts.push(part);
                Node::All(parts)
            }
            (one, other) => Node::All(vec![one, other]),
        };
        Self(both.limited())
    }
}

/// One of both must show a key.
impl<T> BitOr for Mask<T> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        let either = match (self.0, other.0) {
            (Node::Any(mut parts), Node::Any(others)) => {
                parts.extend(others);
                Node::Any(parts)
            }
            (Node::Any(mut parts), part) | (part, Node::Any(mut parts)) => {
                parts.push(part);
                Node::Any(parts)
            }
            (one, other) => Node::Any(vec![one, other]),
        };
        Self(either.limited())
    }
}

/// The keys that the mask does not show.
impl<T> Not for Mask<T> {
    type Output = Self;

    fn not(self) -> Self {
        Self(match self.0 {
            Node::Not(part) => *part,
            part => Node::Not(Box::new(part)).limited(),
        })
    }
}

/// The rule in words, without its tensors.
impl<T> fmt::Display for Mask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Display for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound: Option<u32>| bound.map_or("all".into(), |bound| bound.to_string());
        let corner = |alignment: Alignment| if alignment == Alignment::TopLeft { " (top-left)" } else { "" };
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
            write!(f, "({})", parts.join(word))
        };
        match self {
            Self::Band(Band { left: None, right: None, .. }) => f.write_str("all keys"),
            &Self::Band(Band { left, right, alignment }) => {
                write!(f, "keys {} before to {} after{}", bound(left), bound(right), corner(alignment))
            }
            Self::Dilated(Dilated { left, right, dilation, alignment }) => {
                let (left, right) = (bound(*left), bound(*right));
                write!(f, "{left} before to {right} after by steps of {dilation:?}{}", corner(*alignment))
            }
            &Self::SameBlock { size, alignment } => {
                write!(f, "the same block of {size}{}", corner(alignment))
            }
            Self::Columns { period, from } => write!(f, "keys from {from} on of every {period}"),
            &Self::LogSparse { spec, alignment } => {
                let LogSparse { local, restart } = spec;
                write!(f, "exponential distances, {local} local, restart {restart:?}{}", corner(alignment))
            }
            Self::Prefix(count) => write!(f, "the first {count} keys"),
            Self::Lengths(_) => f.write_str("lengths"),
            Self::Segments(_) => f.write_str("segments"),
            Self::GlobalKeys(_) => f.write_str("global keys"),
            Self::GlobalQueries(_) => f.write_str("global queries"),
            Self::BigBird(spec) => write!(f, "{spec:?}"),
            Self::Blocks(Blocks { layout, .. }) => {
                write!(f, "a layout of {:?} blocks of {}", layout.shape(), layout.block_size())
            }
            Self::Dense(_) => f.write_str("a dense mask"),
            Self::Custom(rule) => write!(f, "custom `{}`", rule.name),
            Self::All(parts) => joined(f, parts, " and "),
            Self::Any(parts) => joined(f, parts, " or "),
            Self::Not(part) => write!(f, "not {part}"),
            Self::TooMany(rules) => write!(f, "{rules} rules, too many to keep"),
        }
    }
}
