//! Masks of a document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::mask::{Band, Dilated, Node};
use super::super::{Alignment, BigBird, BlockLayout, LogSparse};
use super::{MOST_RULES, Mask, OP, Read, Role, config, layout};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// The pairs of a layout that is written out entry by entry: a shape in a document must not claim all memory there is.
pub(super) const MOST_PAIRS: usize = 1 << 26;

/// A mask as JSON has it. The doc of [`RuleDocument`](super::RuleDocument) explains the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum MaskDocument {
    #[default]
    Full,
    Causal,
    Window {
        left: u32,
        right: u32,
    },
    Band {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<u32>,
    },
    DilatedWindow {
        half_width: u32,
        dilations: Vec<u32>,
    },
    Dilated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        right: Option<u32>,
        dilations: Vec<u32>,
    },
    Prefix(u32),
    Lengths(String),
    Segments(String),
    GlobalKeys(String),
    GlobalQueries(String),
    Globals(String),
    Longformer {
        half_width: u32,
        globals: String,
    },
    Blocks {
        block_size: u32,
        layout: String,
    },
    BlockEntries {
        block_size: u32,
        shape: [usize; 3],
        entries: Vec<[usize; 3]>,
    },
    BlockDiagonal(u32),
    Strided(u32),
    Columns {
        period: u32,
        from: u32,
    },
    Fixed {
        stride: u32,
        expressivity: u32,
    },
    BigBird {
        block_size: u32,
        window_blocks: u32,
        global_blocks: u32,
        random_blocks: u32,
        seed: u64,
    },
    LogSparse {
        local: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart: Option<u32>,
    },
    Dense(String),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    TopLeft(Box<Self>),
}

impl MaskDocument {
    pub(super) fn of(node: &Node<String>) -> Result<Self> {
        let all = |parts: &[Node<String>]| parts.iter().map(Self::of).collect::<Result<Vec<_>>>();
        Ok(match node {
            &Node::Band(Band { left, right, alignment }) => Self::band(left, right).aligned(alignment),
            Node::Dilated(Dilated { left, right, dilation, alignment }) => {
                let dilations = dilation.clone();
                let document = match (left, right) {
                    (Some(left), Some(right)) if left == right => {
                        Self::DilatedWindow { half_width: *left, dilations }
                    }
                    _ => Self::Dilated { left: *left, right: *right, dilations },
                };
                document.aligned(*alignment)
            }
            &Node::SameBlock { size, alignment } => Self::BlockDiagonal(size).aligned(alignment),
            &Node::Columns { period, from } => Self::Columns { period, from },
            &Node::LogSparse { spec: LogSparse { local, restart }, alignment } => {
                Self::LogSparse { local, restart }.aligned(alignment)
            }
            &Node::Prefix(count) => Self::Prefix(count),
            Node::Lengths(name) => Self::Lengths(name.clone()),
            Node::Segments(name) => Self::Segments(name.clone()),
            Node::GlobalKeys(name) => Self::GlobalKeys(name.clone()),
            Node::GlobalQueries(name) => Self::GlobalQueries(name.clone()),
            &Node::BigBird(BigBird { block_size, window_blocks, global_blocks, random_blocks, seed }) => {
                Self::BigBird { block_size, window_blocks, global_blocks, random_blocks, seed }
            }
            Node::Blocks(blocks) => Self::entries(&blocks.layout),
            Node::Dense(name) => Self::Dense(name.clone()),
            Node::Custom(rule) => return Err(no_json(&rule.name)),
            Node::All(parts) => Self::All(all(parts)?),
            Node::Any(parts) => Self::Any(all(parts)?),
            Node::Not(part) => Self::Not(Box::new(Self::of(part)?)),
            &Node::TooMany(rules) => return Err(too_many(rules)),
        })
    }

    fn band(left: Option<u32>, right: Option<u32>) -> Self {
        match (left, right) {
            (None, None) => Self::Full,
            (None, Some(0)) => Self::Causal,
            (Some(left), Some(right)) => Self::Window { left, right },
            _ => Self::Band { left, right },
        }
    }

    fn entries(layout: &BlockLayout) -> Self {
        let shape @ [heads, query_blocks, key_blocks] = layout.shape();
        let all = (0..heads).flat_map(|head| {
            (0..query_blocks).flat_map(move |query| (0..key_blocks).map(move |key| [head, query, key]))
        });
        let entries = all.filter(|&[head, query, key]| layout.meets(head, query, key)).collect();
        Self::BlockEntries { block_size: layout.block_size(), shape, entries }
    }

    fn aligned(self, alignment: Alignment) -> Self {
        match alignment {
            Alignment::BottomRight => self,
            Alignment::TopLeft => Self::TopLeft(Box::new(self)),
        }
    }

    /// The mask, with layouts read from `tensors`. `place` is where it stands in the document.
    pub(super) fn resolve(
        &self,
        place: &str,
        tensors: &BTreeMap<String, HostTensor>,
    ) -> Result<Mask<String>> {
        let parts = || {
            let parts = self.parts(place).into_iter();
            parts.map(|(place, part)| Ok(part.resolve(&place, tensors)?.0)).collect::<Result<Vec<_>>>()
        };
        Ok(match self {
            Self::Full => Mask::full(),
            Self::Causal => Mask::causal(),
            &Self::Window { left, right } => Mask::window(left, right),
            &Self::Band { left, right } => Mask::band(left, right),
            Self::DilatedWindow { half_width, dilations } => {
                Mask::dilated_window(*half_width, dilations.clone())
            }
            Self::Dilated { left, right, dilations } => Mask(Node::Dilated(Dilated {
                left: *left,
                right: *right,
                dilation: dilations.clone(),
                alignment: Alignment::default(),
            })),
            &Self::Prefix(count) => Mask::prefix(count),
            Self::Lengths(name) => Mask::lengths(name.clone()),
            Self::Segments(name) => Mask::segments(name.clone()),
            Self::GlobalKeys(name) => Mask::global_keys(name.clone()),
            Self::GlobalQueries(name) => Mask::global_queries(name.clone()),
            Self::Globals(name) => Mask::globals(name.clone()),
            Self::Longformer { half_width, globals } => Mask::longformer(*half_width, globals.clone()),
            Self::Blocks { block_size, layout: name } => {
                Mask::blocks(layout(&format!("{place}.blocks"), name, tensors.get(name), *block_size)?)
            }
            Self::BlockEntries { block_size, shape, entries } => {
                Mask::blocks(BlockLayout::from_entries(*block_size, *shape, entries)?)
            }
            &Self::BlockDiagonal(size) => Mask::block_diagonal(size),
            &Self::Strided(stride) => Mask::strided(stride),
            &Self::Columns { period, from } => Mask(Node::Columns { period, from }),
            &Self::Fixed { stride, expressivity } => Mask::fixed(stride, expressivity),
            &Self::BigBird { block_size, window_blocks, global_blocks, random_blocks, seed } => {
                Mask::big_bird(BigBird { block_size, window_blocks, global_blocks, random_blocks, seed })
            }
            &Self::LogSparse { local, restart } => Mask::log_sparse(LogSparse { local, restart }),
            Self::Dense(name) => Mask::dense(name.clone()),
            Self::All(_) => Mask(Node::All(parts()?)),
            Self::Any(_) => Mask(Node::Any(parts()?)),
            Self::Not(part) => !part.resolve(&format!("{place}.not"), tensors)?,
            Self::TopLeft(part) => {
                part.resolve(&format!("{place}.top_left"), tensors)?.aligned(Alignment::TopLeft)
            }
        })
    }

    /// Appends what it reads.
    pub(super) fn reads<'d>(&'d self, place: &str, reads: &mut Vec<Read<'d>>) {
        let mut read = |word: &str, name, role| {
            reads.push(Read { place: format!("{place}.{word}"), name, role });
        };
        match self {
            Self::Lengths(name) => read("lengths", name, Role::Lengths),
            Self::Segments(name) => read("segments", name, Role::Segments),
            Self::GlobalKeys(name) => read("global_keys", name, Role::GlobalKeys),
            Self::GlobalQueries(name) => read("global_queries", name, Role::GlobalQueries),
            Self::Globals(name) => {
                read("globals", name, Role::GlobalKeys);
                read("globals", name, Role::GlobalQueries);
            }
            Self::Longformer { globals, .. } => {
                read("longformer.globals", globals, Role::GlobalKeys);
                read("longformer.globals", globals, Role::GlobalQueries);
            }
            Self::Blocks { layout, .. } => read("blocks.layout", layout, Role::Numbers),
            Self::Dense(name) => read("dense", name, Role::Numbers),
            _ => self.parts(place).into_iter().for_each(|(place, part)| part.reads(&place, reads)),
        }
    }

    /// How many rules there are, this one included.
    pub(super) fn count(&self) -> usize {
        1 + self.parts("").into_iter().map(|(_, part)| part.count()).sum::<usize>()
    }

    /// Pairs of blocks of all layouts that are written out.
    pub(super) fn written_pairs(&self) -> usize {
        match self {
            Self::BlockEntries { shape, .. } => {
                shape.iter().fold(1, |product, &extent| product.saturating_mul(extent))
            }
            _ => {
                self.parts("").into_iter().fold(0, |sum, (_, part)| sum.saturating_add(part.written_pairs()))
            }
        }
    }

    /// Refuses what no tensor could put right.
    pub(super) fn check(&self, place: &str) -> Result<()> {
        match self {
            Self::All(parts) | Self::Any(parts) if parts.is_empty() => {
                let word = if matches!(self, Self::All(_)) { "all" } else { "any" };
                Err(config(&format!("{place}.{word}")).expecting("at least one rule").but_found("none"))
            }
            Self::DilatedWindow { dilations, .. } | Self::Dilated { dilations, .. }
                if dilations.is_empty() =>
            {
                let word = if matches!(self, Self::Dilated { .. }) { "dilated" } else { "dilated_window" };
                Err(config(&format!("{place}.{word}.dilations"))
                    .expecting("one, or one for each head")
                    .but_found("none"))
            }
            Self::BlockEntries { block_size: 0, .. } => {
                Err(config(&format!("{place}.block_entries.block_size")).expecting("at least 1").but_found(0))
            }
            Self::BlockEntries { shape, .. } => {
                let pairs = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
                if pairs.is_some_and(|pairs| pairs <= MOST_PAIRS) {
                    return Ok(());
                }
                Err(config(&format!("{place}.block_entries.shape"))
                    .expecting(format!("at most {MOST_PAIRS} pairs of blocks"))
                    .but_found(format!("{shape:?}")))
            }
            _ => {
                self.check_settings(place)?;
                self.parts(place).into_iter().try_for_each(|(place, part)| part.check(&place))
            }
        }
    }

    /// Refuses settings without a meaning by the names that they have here: the rules that shorthands become have others.
    fn check_settings(&self, place: &str) -> Result<()> {
        let least = |setting: &str, found: u32| match found {
            0 => Err(config(&format!("{place}.{setting}")).expecting("at least 1").but_found(0)),
            _ => Ok(()),
        };
        match self {
            &Self::Strided(stride) => least("strided", stride),
            &Self::BlockDiagonal(size) => least("block_diagonal", size),
            &Self::Fixed { stride, expressivity } => {
                least("fixed.stride", stride)?;
                if (1..=stride).contains(&expressivity) {
                    return Ok(());
                }
                Err(config(&format!("{place}.fixed.expressivity"))
                    .expecting(format!("1 to {stride}, the stride"))
                    .but_found(expressivity))
            }
            &Self::Columns { period, from } => {
                least("columns.period", period)?;
                if from < period {
                    return Ok(());
                }
                Err(config(&format!("{place}.columns.from"))
                    .expecting(format!("below {period}, the period"))
                    .but_found(from))
            }
            Self::DilatedWindow { dilations, .. } => {
                dilations.iter().try_for_each(|&dilation| least("dilated_window.dilations", dilation))
            }
            Self::Dilated { dilations, .. } => {
                dilations.iter().try_for_each(|&dilation| least("dilated.dilations", dilation))
            }
            Self::Blocks { block_size, .. } => least("blocks.block_size", *block_size),
            &Self::LogSparse { local, restart } => {
                least("log_sparse.local", local)?;
                restart.map_or(Ok(()), |restart| least("log_sparse.restart", restart))
            }
            &Self::BigBird { block_size, .. } => least("big_bird.block_size", block_size),
            _ => Ok(()),
        }
    }

    /// The rules that this one combines, with their places.
    fn parts(&self, place: &str) -> Vec<(String, &Self)> {
        let (word, parts) = match self {
            Self::All(parts) => ("all", parts),
            Self::Any(parts) => ("any", parts),
            Self::Not(part) => return vec![(format!("{place}.not"), part)],
            Self::TopLeft(part) => return vec![(format!("{place}.top_left"), part)],
            _ => return Vec::new(),
        };
        parts.iter().enumerate().map(|(i, part)| (format!("{place}.{word}[{i}]"), part)).collect()
    }
}

/// The refusal of a mask of more rules than documents hold.
pub(super) fn too_many(rules: usize) -> Error {
    config("mask").expecting(format!("at most {MOST_RULES} rules in all")).but_found(rules)
}

/// The refusal of a rule that is code.
pub(super) fn no_json(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, OP, format!("custom rule `{name}`"))
        .expecting("a built-in rule")
        .but_found("one that is code, which JSON does not hold")
}
