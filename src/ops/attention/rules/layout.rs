//! Block layouts, and the rules with numbers of their own.

use crate::random::Random;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

/// A block-sparse layout: which blocks of keys each block of queries sees, for each head or for all heads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockLayout {
    block_size: u32,
    heads: usize,
    query_blocks: usize,
    key_blocks: usize,
    pairs: Vec<bool>,
}

impl BlockLayout {
    /// A layout from `pairs: [heads or 1, query_blocks, key_blocks]`, row-major, in blocks of `block_size` tokens.
    ///
    /// Fails when `block_size` is 0 or `pairs` are not as many as `shape` says.
    pub fn new(block_size: u32, shape: [usize; 3], pairs: Vec<bool>) -> Result<Self> {
        if block_size == 0 {
            return Err(refused("block_size").expecting("at least 1").but_found(0));
        }
        let [heads, query_blocks, key_blocks] = shape;
        let expected = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        if expected != Some(pairs.len()) {
            return Err(Error::new(ErrorKind::Shape, OP, "layout")
                .expecting(format!("a number for each of {shape:?}"))
                .but_found(pairs.len()));
        }
        Ok(Self { block_size, heads, query_blocks, key_blocks, pairs })
    }

    /// A layout from a list of `[head, query block, key block]`.
    ///
    /// Fails when one lies outside `shape` or is there twice, and when `shape` has more than 2^28 pairs.
    pub fn from_entries(block_size: u32, shape: [usize; 3], entries: &[[usize; 3]]) -> Result<Self> {
        let mut pairs = vec![false; pairs_of(shape)?];
        for entry in entries {
            if entry.iter().zip(shape).any(|(&index, extent)| index >= extent) {
                return Err(refused("layout")
                    .expecting(format!("entries within {shape:?}"))
                    .but_found(format!("{entry:?}")));
            }
            let pair = &mut pairs[(entry[0] * shape[1] + entry[1]) * shape[2] + entry[2]];
            if *pair {
                return Err(refused("layout")
                    .expecting("each entry once")
                    .but_found(format!("{entry:?} again")));
            }
            *pair = true;
        }
        Self::new(block_size, shape, pairs)
    }

    /// Tokens of a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// `[heads or 1, query_blocks, key_blocks]`
    pub fn shape(&self) -> [usize; 3] {
        [self.heads, self.query_blocks, self.key_blocks]
    }

    /// Whether the queries of one block see the keys of the other: false for blocks outside of the layout. `head` may be any where all heads are
    /// alike.
    pub fn meets(&self, head: usize, query_block: usize, key_block: usize) -> bool {
        let head = if self.heads == 1 { 0 } else { head };
        let is_there = head < self.heads && query_block < self.query_blocks && key_block < self.key_blocks;
        is_there && self.pairs[(head * self.query_blocks + query_block) * self.key_blocks + key_block]
    }

    /// The fraction of pairs of blocks that are visible.
    pub fn density(&self) -> f64 {
        self.pairs.iter().filter(|&&pair| pair).count() as f64 / self.pairs.len().max(1) as f64
    }

    /// A bit for each pair, rows of whole words: `i32 [heads or 1, query_blocks, key_words]`.
    pub(super) fn data(&self) -> Result<HostTensor> {
        let word = |pairs: &[bool]| {
            pairs.iter().enumerate().fold(0u32, |word, (bit, &pair)| word | u32::from(pair) << bit) as i32
        };
        let rows = self.pairs.chunks(self.key_blocks.max(1));
        HostTensor::i32(self.data_shape(), rows.flat_map(|row| row.chunks(32).map(word)).collect())
    }

    pub(super) fn data_shape(&self) -> [usize; 3] {
        [self.heads, self.query_blocks, self.key_blocks.div_ceil(32)]
    }

    /// The most changes between visible and hidden blocks along a row of blocks (or a column, with `by_key`), where `rows` tokens are
    /// looked at together.
    pub(super) fn changes(&self, rows: usize, by_key: bool) -> usize {
        let (own, other) =
            if by_key { (self.key_blocks, self.query_blocks) } else { (self.query_blocks, self.key_blocks) };
        let meets =
            |head, row, at| if by_key { self.meets(head, at, row) } else { self.meets(head, row, at) };
        let spanned = rows.div_ceil(self.block_size as usize) + 1;
        let mut most = 0;
        for head in 0..self.heads {
            let of_row = |row| {
                (0..=other)
                    .filter(|&at| {
                        (at > 0 && meets(head, row, at - 1)) != (at < other && meets(head, row, at))
                    })
                    .count()
            };
            let counts: Vec<usize> = (0..own).map(of_row).collect();
            let together = counts.windows(spanned.min(own).max(1)).map(|rows| rows.iter().sum()).max();
            most = most.max(together.unwrap_or(0));
        }
        most
    }
}

/// BigBird's blocks (arXiv 2007.14062, section 2 and appendix D): a window around the diagonal, blocks at both ends that see all and
/// are seen by all, and blocks at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BigBird {
    /// Tokens of a block. The authors take 64.
    pub block_size: u32,
    /// Blocks of the window, the query's own in the middle: an odd number. The authors take 3.
    pub window_blocks: u32,
    /// Blocks at either end of the sequence that see all and are seen by all. The authors take 1.
    pub global_blocks: u32,
    /// Blocks at random for each block of queries and each head, none of them seen otherwise; all that are left where there are not
    /// as many. The authors take 3.
    pub random_blocks: u32,
    /// What the random blocks are drawn from.
    pub seed: u64,
}

impl Default for BigBird {
    fn default() -> Self {
        Self { block_size: 64, window_blocks: 3, global_blocks: 1, random_blocks: 3, seed: 0 }
    }
}

impl BigBird {
    /// The layout for sequences of `time` tokens, with other random blocks for each of `heads`.
    ///
    /// Fails when the block size is 0, the window is not odd, or there are more than 2^28 pairs of blocks.
    pub fn layout(&self, heads: usize, time: usize) -> Result<BlockLayout> {
        self.check()?;
        let blocks = time.div_ceil(self.block_size as usize);
        let (half, globals) = (self.window_blocks as usize / 2, self.global_blocks as usize);
        let is_global = |block: usize| block < globals || block + globals >= blocks;
        let heads = if self.random_blocks == 0 { 1 } else { heads };
        pairs_of([heads, blocks, blocks])?;
        let mut random = Random::new(self.seed);
        let mut pairs = Vec::with_capacity(heads * blocks * blocks);
        for _ in 0..heads {
            for query in 0..blocks {
                let row = |key: usize| is_global(query) || is_global(key) || query.abs_diff(key) <= half;
                let mut row: Vec<bool> = (0..blocks).map(row).collect();
                let mut left: Vec<usize> = (0..blocks).filter(|&key| !row[key]).collect();
                for _ in 0..(self.random_blocks as usize).min(left.len()) {
                    let drawn = random.next_below(left.len());
                    row[left.swap_remove(drawn)] = true;
                }
                pairs.extend(row);
            }
        }
        BlockLayout::new(self.block_size, [heads, blocks, blocks], pairs)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.block_size == 0 {
            return Err(refused("big_bird.block_size").expecting("at least 1").but_found(0));
        }
        if self.window_blocks.is_multiple_of(2) {
            return Err(refused("big_bird.window_blocks")
                .expecting("an odd number")
                .but_found(self.window_blocks));
        }
        Ok(())
    }
}

/// Keys at exponentially growing distances (LogSparse Transformer, arXiv 1907.00235, section 4.2): 0, and the powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSparse {
    /// Keys seen without gaps, the query's own among them; distances grow exponentially from the last of them. 1 for none but the
    /// query's own.
    pub local: u32,
    /// Distances start over after as many keys; never when absent.
    pub restart: Option<u32>,
}

impl Default for LogSparse {
    fn default() -> Self {
        Self { local: 1, restart: None }
    }
}

impl LogSparse {
    pub(super) fn check(&self) -> Result<()> {
        if self.local == 0 {
            return Err(refused("log_sparse.local").expecting("at least 1").but_found(0));
        }
        if self.restart == Some(0) {
            return Err(refused("log_sparse.restart").expecting("at least 1").but_found(0));
        }
        Ok(())
    }

    /// Whether a key `distance` before the query is seen.
    pub(super) fn sees(&self, distance: i64) -> bool {
        if distance < 0 {
            return false;
        }
        let distance = self.restart.map_or(distance, |restart| distance % i64::from(restart));
        let beyond = distance - (i64::from(self.local) - 1);
        beyond <= 0 || beyond & (beyond - 1) == 0
    }
}

/// `i32 [items, count]` of positions for [`Mask::globals`](super::Mask::globals), from a list for each batch item, of any lengths.
///
/// Fails when a position is not below `time`, or is there twice in an item.
pub fn global_tokens(lists: &[Vec<usize>], time: usize) -> Result<HostTensor> {
    let count = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut positions = Vec::with_capacity(lists.len() * count);
    for (item, list) in lists.iter().enumerate() {
        for (i, &position) in list.iter().enumerate() {
            if position >= time {
                return Err(refused(format!("globals of item {item}"))
                    .expecting(format!("positions below {time}"))
                    .but_found(position));
            }
            if list[..i].contains(&position) {
                return Err(refused(format!("globals of item {item}"))
                    .expecting("each position once")
                    .but_found(format!("{position} again")));
            }
        }
        positions.extend(list.iter().map(|&position| position as i32));
        positions.resize((item + 1) * count, -1);
    }
    HostTensor::i32([lists.len(), count], positions)
}

/// How many pairs a layout of `shape` has. Fails beyond what is worth holding.
fn pairs_of(shape: [usize; 3]) -> Result<usize> {
    let pairs = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    pairs.filter(|&pairs| pairs <= MOST_PAIRS).ok_or_else(|| {
        Error::new(ErrorKind::Limit, OP, "layout")
            .expecting(format!("at most {MOST_PAIRS} pairs of blocks"))
            .but_found(format!("{shape:?}"))
    })
}

/// Pairs of blocks that a layout may have: a byte each on the host, a bit on the device.
const MOST_PAIRS: usize = 1 << 28;

pub(super) const OP: &str = "attention rule";

pub(super) fn refused(argument: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Argument, OP, argument)
}
