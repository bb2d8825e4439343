//! Which pairs a method computes: as the rule that a kernel gets, and beside it spelled out key by key, in other words. The second is
//! what the first is verified by, and what pairs are counted by.

use std::iter::StepBy;
use std::ops::Range;

use foveate::ops::attention::{BigBird, Blocked, LogSparse, Mask, Score, global_tokens};
use foveate::ops::constant;
use foveate::{Error, ErrorKind, Graph, HostTensor, Result};

/// What a method is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) time: usize,
    pub(crate) heads: usize,
}

/// Keys, each once.
pub(crate) type Keys = Vec<StepBy<Range<usize>>>;

/// The pairs that a method computes at some extent.
pub(crate) trait Pattern {
    /// The rule, its tensors as constants of `graph`.
    fn rule(&self, graph: &mut Graph) -> Result<Blocked>;

    /// The keys that a query sees: nothing but these decides its row of the result.
    fn keys(&self, head: usize, query: usize) -> Keys;

    /// What the weight of a key that is seen is multiplied by, above 0 and up to 1.
    fn weight(&self, _head: usize, _query: usize, _key: usize) -> f64 {
        1.0
    }
}

/// How a table makes a pattern. Fails where the method does not take the extent.
pub(crate) type Make = fn(Extent) -> Result<Box<dyn Pattern>>;

/// A run of keys without gaps.
fn run(first: usize, end: usize) -> StepBy<Range<usize>> {
    (first..end.max(first)).step_by(1)
}

/// The keys up to `left` before a query's own and up to `right` behind it; all when absent.
struct Band {
    time: usize,
    left: Option<u32>,
    right: Option<u32>,
}

pub(super) fn band(extent: Extent, left: Option<u32>, right: Option<u32>) -> Result<Box<dyn Pattern>> {
    Ok(Box::new(Band { time: extent.time, left, right }))
}

impl Band {
    fn range(&self, query: usize) -> Range<usize> {
        let first = self.left.map_or(0, |left| query.saturating_sub(left as usize));
        let end = self.right.map_or(self.time, |right| self.time.min(query + right as usize + 1));
        first..end
    }
}

impl Pattern for Band {
    fn rule(&self, _: &mut Graph) -> Result<Blocked> {
        Ok(Blocked::new().mask(Mask::band(self.left, self.right)))
    }

    fn keys(&self, _: usize, query: usize) -> Keys {
        vec![self.range(query).step_by(1)]
    }
}

/// Keys before a query's own and behind it: 256 with its own.
pub(super) const WINDOW: [u32; 2] = [128, 127];

/// A window, and tokens that see all and are seen by all (arXiv 2004.05150).
struct Longformer {
    window: Band,
    globals: Vec<usize>,
}

/// Two global tokens: the first and the middle one.
pub(super) fn longformer(extent: Extent) -> Result<Box<dyn Pattern>> {
    let [left, right] = WINDOW.map(Some);
    let mut globals = vec![0, extent.time / 2];
    globals.dedup();
    Ok(Box::new(Longformer { window: Band { time: extent.time, left, right }, globals }))
}

impl Pattern for Longformer {
    fn rule(&self, graph: &mut Graph) -> Result<Blocked> {
        let [left, right] = WINDOW;
        let globals = global_tokens(std::slice::from_ref(&self.globals), self.window.time)?;
        let globals = constant(graph, globals)?;
        Ok(Blocked::new().mask(Mask::window(left, right) | Mask::globals(globals)))
    }

    fn keys(&self, _: usize, query: usize) -> Keys {
        if self.globals.contains(&query) {
            return vec![run(0, self.window.time)];
        }
        let near = self.window.range(query);
        let far = self.globals.iter().filter(|global| !near.contains(global));
        far.map(|&global| run(global, global + 1)).chain([near.clone().step_by(1)]).collect()
    }
}

/// A window of blocks, global blocks at both ends, and blocks at random (arXiv 2007.14062).
struct Birds {
    time: usize,
    /// For each head and block of queries between the global ones, the blocks of keys.
    seen: Vec<Vec<Vec<usize>>>,
}

/// The authors' numbers.
const BIG_BIRD: BigBird =
    BigBird { block_size: 64, window_blocks: 3, global_blocks: 1, random_blocks: 3, seed: 0 };

/// The most pairs of blocks that are drawn: the layout is an array of them.
const MOST_BLOCK_PAIRS: usize = 1 << 28;

pub(super) fn big_bird(Extent { time, heads }: Extent) -> Result<Box<dyn Pattern>> {
    let blocks = time.div_ceil(BIG_BIRD.block_size as usize);
    let pairs = blocks.saturating_pow(2).saturating_mul(heads);
    if pairs > MOST_BLOCK_PAIRS {
        return Err(Error::new(ErrorKind::Limit, "bigbird", "layout")
            .expecting(format!("at most {MOST_BLOCK_PAIRS} pairs of blocks"))
            .but_found(pairs));
    }
    // Nothing but the layout knows what the seed draws.
    let layout = BIG_BIRD.layout(heads, time)?;
    let is_seen = |head: usize, own: usize, block: usize| {
        own.abs_diff(block) <= 1 || block == 0 || block + 1 == blocks || layout.meets(head, own, block)
    };
    let of_block = |head, own| (0..blocks).filter(|&block| is_seen(head, own, block)).collect();
    let of_head = |head| (0..blocks).map(|own| of_block(head, own)).collect();
    Ok(Box::new(Birds { time, seen: (0..heads).map(of_head).collect() }))
}

impl Pattern for Birds {
    fn rule(&self, _: &mut Graph) -> Result<Blocked> {
        Ok(Blocked::new().mask(Mask::big_bird(BIG_BIRD)))
    }

    fn keys(&self, head: usize, query: usize) -> Keys {
        let size = BIG_BIRD.block_size as usize;
        let (own, last) = (query / size, (self.time - 1) / size);
        if own == 0 || own == last {
            return vec![run(0, self.time)];
        }
        let keys = |&block: &usize| run(block * size, self.time.min((block + 1) * size));
        self.seen[head][own].iter().map(keys).collect()
    }
}

/// About the root of `time`, a power of two, as in Sparse Transformer's complexity (arXiv 1904.10509, section 4.2); large enough that
/// [`EXPRESSIVITY`] leaves something out.
fn stride(time: usize) -> usize {
    1 << time.ilog2().div_ceil(2).max(4)
}

/// The last `stride` keys, and every `stride`-th before them (arXiv 1904.10509).
struct Strided(usize);

pub(super) fn strided(extent: Extent) -> Result<Box<dyn Pattern>> {
    Ok(Box::new(Strided(stride(extent.time))))
}

impl Pattern for Strided {
    fn rule(&self, _: &mut Graph) -> Result<Blocked> {
        Ok(Blocked::new().mask(Mask::strided(self.0 as u32)))
    }

    fn keys(&self, _: usize, query: usize) -> Keys {
        let near = (query + 1).saturating_sub(self.0);
        vec![(query % self.0..near).step_by(self.0), run(near, query + 1)]
    }
}

/// Keys at the end of each block that the blocks behind it see. The authors take 8 and more.
const EXPRESSIVITY: usize = 8;

/// The query's own block, and the last keys of each block before it (arXiv 1904.10509).
struct Fixed(usize);

pub(super) fn fixed(extent: Extent) -> Result<Box<dyn Pattern>> {
    Ok(Box::new(Fixed(stride(extent.time))))
}

impl Pattern for Fixed {
    fn rule(&self, _: &mut Graph) -> Result<Blocked> {
        Ok(Blocked::new().mask(Mask::fixed(self.0 as u32, EXPRESSIVITY as u32)))
    }

    fn keys(&self, _: usize, query: usize) -> Keys {
        let own = query - query % self.0;
        let column = |from_end: usize| (self.0 - from_end..own.max(self.0 - from_end)).step_by(self.0);
        (1..=EXPRESSIVITY).map(column).chain([run(own, query + 1)]).collect()
    }
}

/// The last `LOCAL` keys, and further ones at distances that double (arXiv 1907.00235).
struct Logarithmic;

const LOCAL: usize = 16;

pub(super) fn log_sparse(_: Extent) -> Result<Box<dyn Pattern>> {
    Ok(Box::new(Logarithmic))
}

impl Pattern for Logarithmic {
    fn rule(&self, _: &mut Graph) -> Result<Blocked> {
        Ok(Blocked::new().mask(Mask::log_sparse(LogSparse { local: LOCAL as u32, restart: None })))
    }

    fn keys(&self, _: usize, query: usize) -> Keys {
        let nearest = (query + 1).saturating_sub(LOCAL);
        let distances = (0..usize::BITS).map(|power| 1_usize << power).take_while(|&far| far <= nearest);
        let far = distances.map(|far| run(nearest - far, nearest - far + 1));
        far.chain([run(nearest, query + 1)]).collect()
    }
}

/// Keys before the query's own, of each head as far back as its span, and fading behind it (arXiv 1905.07799).
struct AdaptiveSpan {
    spans: Vec<usize>,
}

const SPANS: [usize; 2] = [32, 1024];
const RAMP: usize = 32;

pub(super) fn adaptive_span(Extent { time, heads }: Extent) -> Result<Box<dyn Pattern>> {
    if time < 2 {
        return Err(Error::new(ErrorKind::Unsupported, "adaptive-span", "time")
            .expecting("a token with another before it")
            .but_found(format!("{time} token")));
    }
    let [least, most] = SPANS.map(|span| span as f64);
    let along = |head: usize| head as f64 / heads.saturating_sub(1).max(1) as f64;
    let spans = (0..heads).map(|head| (least * (most / least).powf(along(head))).round() as usize).collect();
    Ok(Box::new(AdaptiveSpan { spans }))
}

impl Pattern for AdaptiveSpan {
    fn rule(&self, graph: &mut Graph) -> Result<Blocked> {
        let spans = self.spans.iter().map(|&span| span as f32).collect();
        let spans = constant(graph, HostTensor::f32([self.spans.len()], spans)?)?;
        let before = Mask::causal() & !Mask::window(0, 0);
        Ok(Blocked::new().mask(before).score(Score::adaptive_span(spans, RAMP as f32)))
    }

    fn keys(&self, head: usize, query: usize) -> Keys {
        vec![run((query + 1).saturating_sub(self.spans[head] + RAMP), query)]
    }

    fn weight(&self, head: usize, query: usize, key: usize) -> f64 {
        let left = self.spans[head] + RAMP - (query - key);
        (left as f64 / RAMP as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::methods::PAIRED;
    use super::*;

    const EXTENT: Extent = Extent { time: 700, heads: 3 };

    #[test]
    fn keys_are_in_range_and_counted_once() {
        for method in PAIRED {
            let pattern = method.pattern(EXTENT).unwrap().unwrap();
            for query in [0, 1, 15, 16, 17, 63, 64, 349, 350, 351, 699] {
                let mut keys: Vec<usize> = pattern.keys(2, query).into_iter().flatten().collect();
                let count = keys.len();
                keys.sort_unstable();
                keys.dedup();
                assert_eq!(keys.len(), count, "{} repeats keys of query {query}", method.name);
                assert!(keys.last().is_none_or(|&key| key < EXTENT.time), "{}", method.name);
            }
        }
    }

    #[test]
    fn big_bird_sees_eight_blocks_between_its_ends() {
        let pattern = big_bird(EXTENT).unwrap();
        let count = |query| pattern.keys(1, query).into_iter().flatten().count();
        // The last of eleven blocks has 60 tokens; next to an end, the window and the global block are one.
        assert_eq!([count(0), count(699), count(5 * 64), count(64)], [700, 700, 8 * 64 - 4, 7 * 64 - 4]);
    }

    #[test]
    fn strides_lie_around_the_root() {
        assert_eq!([1, 256, 512, 1024, 4096, 65_536].map(stride), [16, 16, 32, 32, 64, 256]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |make: Make, time| make(Extent { time, heads: 4 }).err().unwrap().kind();
        assert_eq!(refused(adaptive_span, 1), ErrorKind::Unsupported);
        assert_eq!(refused(big_bird, 1 << 24), ErrorKind::Limit);
    }
}
