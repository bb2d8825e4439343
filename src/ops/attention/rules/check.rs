//! What is wrong with a rule.

use std::ops::RangeInclusive;

use super::layout::refused;
use super::mask::{Band, Blocks, Dilated, MOST_RULES, Node};
use super::{Alignment, Buckets, CustomMask, LogBuckets, LogSparse, Pair, Rule, Term, reference};
use crate::ops::attention::Dims;
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// Pairs that are asked for one that a rule without tensors shows. Rules that people mean show one among the first.
const MOST_PAIRS: usize = 1 << 22;

/// A length at which rules show something wherever they show something at all, beside what their numbers reach.
const SHORTEST_TELLING: usize = 64;

/// Refuses a tensor that is not `wanted`.
pub(super) fn same(op: &'static str, argument: &str, found: &TensorDesc, wanted: &TensorDesc) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
    Err(Error::new(kind, op, argument).expecting(wanted).but_found(found))
}

/// [`same`], for integers with a meaning.
fn integers(
    op: &'static str,
    argument: &str,
    found: &TensorDesc,
    shape: &[usize],
    meaning: &str,
) -> Result<()> {
    let wanted = TensorDesc::new(DType::I32, shape);
    if *found == wanted {
        return Ok(());
    }
    let kind = if found.dtype == DType::I32 { ErrorKind::Shape } else { ErrorKind::Dtype };
    Err(Error::new(kind, op, argument).expecting(format!("{wanted}, {meaning}")).but_found(found))
}

impl Rule {
    /// Refuses what does not fit `dims` or has no meaning. `tensors` are those of the rule.
    pub(in crate::ops::attention) fn check(
        &self,
        op: &'static str,
        dims: &Dims,
        tensors: &[TensorDesc],
    ) -> Result<()> {
        if tensors.len() != self.tensors {
            return Err(Error::new(ErrorKind::Argument, op, "inputs")
                .expecting(format!("{} tensors of the rule", self.tensors))
                .but_found(tensors.len()));
        }
        self.check_size(op)?;
        if let Some(starts) = self.query_start {
            let meaning = "the position of the first query of each batch item";
            integers(op, "query_start", &tensors[starts], &[dims.batch], meaning)?;
        }
        let check = MaskCheck { op, dims, positions: self.positions(dims), tensors };
        check.node(&self.mask.0)?;
        self.check_terms(op, dims, tensors)?;
        self.check_names(op)?;
        self.check_shows_something(op, dims)
    }

    /// Positions that queries may have among what goes by their position: their own, or those of keys where a tensor says at which one they
    /// begin.
    fn positions(&self, dims: &Dims) -> usize {
        if self.query_start.is_some() { dims.key_time } else { dims.query_time }
    }

    /// Refuses masks of more rules than shaders hold.
    fn check_size(&self, op: &'static str) -> Result<()> {
        let rules = self.mask.0.rules();
        if rules <= MOST_RULES {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Limit, op, "mask")
            .expecting(format!("at most {MOST_RULES} rules"))
            .but_found(rules))
    }

    fn check_terms(&self, op: &'static str, dims: &Dims, tensors: &[TensorDesc]) -> Result<()> {
        let Dims { batch, query_time, key_time, heads, .. } = *dims;
        let by_head =
            |argument, tensor: usize| same(op, argument, &tensors[tensor], &TensorDesc::f32([heads]));
        let (mut biases, mut relative, mut ramps) = (0, 0, 0);
        for term in &self.terms {
            match *term {
                Term::Bias { bias, .. } => {
                    biases += 1;
                    check_bias(op, &tensors[bias], [batch, heads, query_time, key_time])?;
                }
                Term::Alibi { slopes, .. } => by_head("alibi", slopes)?,
                Term::Gaussian { sigma, .. } => by_head("gaussian", sigma)?,
                Term::Ramp { span, .. } => {
                    ramps += 1;
                    by_head("adaptive_span", span)?;
                }
                Term::Distances { table, slots, .. } => {
                    same(op, "buckets", &tensors[table], &TensorDesc::f32([slots, heads]))?;
                }
                // Made by prepare, which has checked what they are made of.
                Term::QueryTable { .. } | Term::KeyTable { .. } | Term::Custom(_) => {}
                Term::RelativeKeys { keys, farthest_after, alignment } => {
                    relative += 1;
                    self.check_distances(op, dims, &tensors[keys], farthest_after, alignment)?;
                }
            }
        }
        for (argument, count) in [("bias", biases), ("relative_keys", relative), ("adaptive_span", ramps)] {
            if count > 1 {
                return Err(Error::new(ErrorKind::Argument, op, argument)
                    .expecting("at most one of this rule")
                    .but_found(count));
            }
        }
        Ok(())
    }

    /// Refuses relative keys without one for every distance that the mask shows.
    pub(super) fn check_distances(
        &self,
        op: &'static str,
        dims: &Dims,
        keys: &TensorDesc,
        farthest_after: u32,
        alignment: Alignment,
    ) -> Result<()> {
        // Where queries begin is only known on the device; those that stand at a key are told.
        let telling = Dims { query_time: self.positions(dims), ..*dims };
        let all = alignment.distances(&telling, false);
        let (least, greatest) = distances(&self.mask.0, &telling, alignment, &all);
        let (after, count) =
            (i64::from(farthest_after), keys.shape.dims().first().map_or(0, |&count| count as i64));
        let is_met = least > greatest || (-after <= least && greatest <= count - 1 - after);
        // Kernels may look at tiles of which the mask shows nothing in the end.
        if is_met && (count > 0 || dims.query_time == 0 || dims.key_time == 0) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Shape, op, "relative_keys.keys")
            .expecting(format!("a row for every distance that the mask shows, {least} to {greatest}"))
            .but_found(format!("{count} rows, from distance {} on", -after)))
    }

    /// Refuses two rules of users' under one name.
    fn check_names(&self, op: &'static str) -> Result<()> {
        let mut names: Vec<&str> = self.customs().map(|rule| rule.name.as_str()).collect();
        let mut masks: Vec<&CustomMask> = Vec::new();
        self.mask.0.visit(&mut |node| {
            if let Node::Custom(rule) = node
                && !masks.iter().any(|known| known.is(rule))
            {
                masks.push(rule);
            }
        });
        names.extend(masks.iter().map(|rule| rule.name.as_str()));
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(Error::new(ErrorKind::Argument, op, "custom rule")
                .expecting("a name of its own for each")
                .but_found(format!("`{}` for two rules", pair[0]))),
        }
    }

    /// Refuses a mask that, whatever its tensors hold, shows no key to any query: it contradicts itself.
    fn check_shows_something(&self, op: &'static str, dims: &Dims) -> Result<()> {
        let (mut is_fixed, mut has_layout, mut reach) = (true, false, SHORTEST_TELLING);
        self.mask.0.visit(&mut |node| {
            has_layout |= matches!(node, Node::Blocks(_));
            reach = reach.saturating_add(node.reach());
            // What rules of users show is theirs to know.
            is_fixed &= !matches!(
                node,
                Node::Lengths(_)
                    | Node::Segments(_)
                    | Node::GlobalKeys(_)
                    | Node::GlobalQueries(_)
                    | Node::Dense(_)
                    | Node::Custom(_)
            );
        });
        let Dims { query_time, key_time, heads, .. } = *dims;
        if !is_fixed
            || query_time == 0
            || key_time == 0
            || self.ranges().is_some_and(|ranges| !ranges.band.hides())
        {
            return Ok(());
        }
        // A rule that would show something in a longer sequence does not contradict itself. Layouts have one length only.
        let longer = |time: usize| if has_layout { time } else { time.max(reach) };
        let telling = Dims { query_time: longer(self.positions(dims)), key_time: longer(key_time), ..*dims };
        // From the last query on: it sees most under either alignment.
        let mut pairs = (0..telling.query_time)
            .rev()
            .flat_map(|query| (0..telling.key_time).rev().map(move |key| (query, key)))
            .flat_map(|(query, key)| (0..heads).map(move |head| Pair { batch: 0, head, query, key }));
        let data = reference::Data::<f64>::none(&telling);
        let shows = pairs.by_ref().take(MOST_PAIRS).any(|pair| data.sees(&self.mask.0, pair));
        if shows || pairs.next().is_some() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Argument, op, "mask")
            .expecting("a rule that shows some key to some query")
            .but_found(format!("none of {key_time} keys shown to any of {query_time} queries")))
    }
}

fn check_bias(op: &'static str, bias: &TensorDesc, whole: [usize; 4]) -> Result<()> {
    let axes = ["batch", "heads", "query_time", "key_time"];
    let fits = |(&found, &whole): (&usize, &usize)| found == whole || found == 1;
    let dims = bias.shape.dims();
    if dims.len() == 4 && dims.iter().zip(&whole).all(fits) && bias.dtype.is_float() {
        return Ok(());
    }
    let wanted: Vec<String> =
        axes.iter().zip(whole).map(|(axis, extent)| format!("{axis} {extent} or 1")).collect();
    let kind = if bias.dtype.is_float() { ErrorKind::Shape } else { ErrorKind::Dtype };
    Err(Error::new(kind, op, "bias").expecting(format!("floats of [{}]", wanted.join(", "))).but_found(bias))
}

/// What a mask is checked against.
#[derive(Clone, Copy, Debug)]
struct MaskCheck<'a> {
    op: &'static str,
    dims: &'a Dims,
    /// Positions that queries may have.
    positions: usize,
    tensors: &'a [TensorDesc],
}

impl MaskCheck<'_> {
    fn node(&self, node: &Node<usize>) -> Result<()> {
        let Self { op, tensors, .. } = *self;
        let batch = self.dims.batch;
        let at_least_1 = |argument, found: u32| match found {
            0 => Err(refused(argument).expecting("at least 1").but_found(0)),
            _ => Ok(()),
        };
        match node {
            // Of the last, `check_size` has refused every one.
            Node::Band(_) | Node::Prefix(_) | Node::Custom(_) | Node::TooMany(_) => Ok(()),
            Node::Dilated(Dilated { dilation, .. }) => {
                let heads = self.dims.heads;
                if dilation.len() != 1 && dilation.len() != heads {
                    return Err(Error::new(ErrorKind::Shape, op, "dilation")
                        .expecting(format!("one, or one for each of {heads} heads"))
                        .but_found(dilation.len()));
                }
                dilation.iter().try_for_each(|&dilation| at_least_1("dilation", dilation))
            }
            &Node::SameBlock { size, .. } => at_least_1("block size", size),
            &Node::Columns { period, from } => {
                at_least_1("stride", period)?;
                if from >= period {
                    return Err(refused("expressivity").expecting("at least 1").but_found(0));
                }
                Ok(())
            }
            Node::LogSparse { spec, .. } => spec.check(),
            Node::BigBird(spec) => spec.check(),
            &Node::Lengths(tensor) => {
                integers(op, "lengths", &tensors[tensor], &[batch], "one count of keys a batch item")
            }
            &Node::Segments(tensor) => self.segments(&tensors[tensor]),
            &Node::GlobalKeys(tensor) | &Node::GlobalQueries(tensor) => self.globals(&tensors[tensor]),
            Node::Blocks(blocks) => self.blocks(blocks),
            &Node::Dense(tensor) => self.dense(&tensors[tensor]),
            Node::All(parts) | Node::Any(parts) => {
                if parts.is_empty() {
                    return Err(Error::new(ErrorKind::Argument, op, "mask")
                        .expecting("rules to combine")
                        .but_found("none"));
                }
                parts.iter().try_for_each(|part| self.node(part))
            }
            Node::Not(part) => self.node(part),
        }
    }

    fn segments(&self, ids: &TensorDesc) -> Result<()> {
        let Dims { batch, query_time, key_time, .. } = *self.dims;
        if key_time != self.positions {
            return Err(Error::new(ErrorKind::Shape, self.op, "key")
                .expecting(format!("axis 1 (key_time) = {query_time} as in query, which segments demand"))
                .but_found(key_time));
        }
        integers(self.op, "segments", ids, &[batch, key_time], "one id a token")
    }

    fn globals(&self, positions: &TensorDesc) -> Result<()> {
        let count = match *positions.shape.dims() {
            [_, count] if count > 0 => count,
            _ => 1,
        };
        let meaning = "positions of global tokens in each batch item";
        integers(self.op, "globals", positions, &[self.dims.batch, count], meaning)
    }

    fn blocks(&self, Blocks { layout, data }: &Blocks<usize>) -> Result<()> {
        let heads = self.dims.heads;
        let size = layout.block_size() as usize;
        let [found_heads, ..] = layout.shape();
        let [query_blocks, key_blocks] = [self.positions, self.dims.key_time].map(|time| time.div_ceil(size));
        if layout.shape() != [if found_heads == 1 { 1 } else { heads }, query_blocks, key_blocks] {
            return Err(Error::new(ErrorKind::Shape, self.op, "layout")
                .expecting(format!(
                    "[{heads} heads or 1, {query_blocks} query blocks, {key_blocks} key blocks] of {size}"
                ))
                .but_found(format!("{:?}", layout.shape())));
        }
        data.map_or(Ok(()), |tensor| {
            let (desc, shape) = (&self.tensors[tensor], layout.data_shape());
            integers(self.op, "layout", desc, &shape, "a bit for each pair of blocks")
        })
    }

    fn dense(&self, pairs: &TensorDesc) -> Result<()> {
        let Dims { batch, query_time, key_time, heads, .. } = *self.dims;
        let fits = match *pairs.shape.dims() {
            [b, h, q, k] => {
                (b == batch || b == 1) && (h == heads || h == 1) && (q, k) == (query_time, key_time)
            }
            _ => false,
        };
        if fits && pairs.dtype == DType::I32 {
            return Ok(());
        }
        let kind = if pairs.dtype == DType::I32 { ErrorKind::Shape } else { ErrorKind::Dtype };
        Err(Error::new(kind, self.op, "mask")
            .expecting(format!("i32 [{batch} or 1, {heads} or 1, {query_time}, {key_time}]"))
            .but_found(pairs))
    }
}

/// The least and the greatest of `possible` distances that the mask shows, as far as its bands tell; the first is the larger when it shows
/// none.
pub(super) fn distances(
    node: &Node<usize>,
    dims: &Dims,
    alignment: Alignment,
    possible: &RangeInclusive<i64>,
) -> (i64, i64) {
    let all = (*possible.start(), *possible.end());
    let within = |left: Option<i64>, right: Option<i64>, of: Alignment| {
        // Distances under another alignment are all shifted alike.
        let shifted = alignment.shift(dims) - of.shift(dims);
        let bound = |bound: Option<i64>, none| bound.map_or(none, |bound: i64| bound.saturating_add(shifted));
        (bound(right.map(|right| -right), all.0).max(all.0), bound(left, all.1).min(all.1))
    };
    match node {
        &Node::Band(Band { left, right, alignment }) => {
            within(left.map(i64::from), right.map(i64::from), alignment)
        }
        Node::Dilated(Dilated { left, right, dilation, alignment }) => {
            let widest = i64::from(dilation.iter().copied().max().unwrap_or(1));
            let steps = |steps: &Option<u32>| steps.map(|steps| i64::from(steps).saturating_mul(widest));
            within(steps(left), steps(right), *alignment)
        }
        &Node::LogSparse { alignment, .. } => within(None, Some(0), alignment),
        Node::All(parts) => parts.iter().fold(all, |(least, greatest), part| {
            let (a, b) = distances(part, dims, alignment, possible);
            (least.max(a), greatest.min(b))
        }),
        Node::Any(parts) => {
            let shown = parts.iter().map(|part| distances(part, dims, alignment, possible));
            let shown = shown.filter(|(a, b)| a <= b);
            shown.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))).unwrap_or((1, 0))
        }
        _ => all,
    }
}

impl Buckets {
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let refused = |expected: String, found: u32| {
            Err(Error::new(ErrorKind::Argument, op, "buckets").expecting(expected).but_found(found))
        };
        let half = if self.bidirectional { self.count / 2 } else { self.count };
        if half < 2 || (self.bidirectional && !self.count.is_multiple_of(2)) {
            let least =
                if self.bidirectional { "an even count of at least 4" } else { "a count of at least 2" };
            return refused(least.into(), self.count);
        }
        if self.max_distance <= half / 2 {
            return refused(
                format!("max_distance over {}, the buckets of single distances", half / 2),
                self.max_distance,
            );
        }
        Ok(())
    }
}

impl LogBuckets {
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let refused = |expected: String, found: u32| {
            Err(Error::new(ErrorKind::Argument, op, "disentangled").expecting(expected).but_found(found))
        };
        if self.span < 2 {
            return refused("a span of at least 2".into(), self.span);
        }
        let least = self.span / 2 + 1;
        if self.max_distance <= least {
            return refused(format!("max_distance over {least}, half the span and 1"), self.max_distance);
        }
        Ok(())
    }
}

impl<T> Node<T> {
    /// Hands every part to `visit`.
    pub(super) fn visit<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(visit)),
            Self::Not(part) => part.visit(visit),
            _ => {}
        }
    }

    /// How far a rule's own numbers go.
    fn reach(&self) -> usize {
        let bound = |bound: Option<u32>| bound.unwrap_or(0) as usize;
        match self {
            Self::Band(Band { left, right, .. }) => bound(*left) + bound(*right),
            Self::Dilated(Dilated { left, right, dilation, .. }) => {
                let widest = dilation.iter().copied().max().unwrap_or(1) as usize;
                (bound(*left) + bound(*right) + 1).saturating_mul(widest)
            }
            Self::SameBlock { size, .. } | Self::Columns { period: size, .. } | Self::Prefix(size) => {
                *size as usize
            }
            Self::LogSparse { spec: LogSparse { local, restart }, .. } => *local as usize + bound(*restart),
            _ => 0,
        }
    }
}
