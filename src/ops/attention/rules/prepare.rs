//! From settings to the rule of a step: data that rules hold becomes constants, products that rules need become steps.

use std::sync::Arc;

use super::mask::{Blocks, Node};
use super::score::{LogBuckets, MOST_SCORES, ScoreRule};
use super::{Alignment, Map, Mask, Rule, Score, Term};
use crate::graph::{Graph, Value};
use crate::ops::attention::{Blocked, Dims};
use crate::ops::{Heads, Matmul, add, concat, constant, matmul, reshape};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// A rule with what its step reads.
#[derive(Clone, Debug)]
pub(in crate::ops::attention) struct Prepared {
    pub(in crate::ops::attention) rule: Rule,
    /// The query, with a second vector in each row where the rule wants one.
    pub(in crate::ops::attention) query: Value,
    /// The rule's tensors.
    pub(in crate::ops::attention) tensors: Vec<Value>,
}

/// The rule of a step of `op` over `query`, `key` and `value`.
pub(in crate::ops::attention) fn prepare(
    op: &'static str,
    spec: &Blocked,
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
) -> Result<Prepared> {
    check_numbers(op, spec)?;
    let dims = Dims::bind(op, [graph.desc(query)?, graph.desc(key)?, graph.desc(value)?], 1)?;
    let mut tensors = Vec::new();
    let with_data = with_data(&spec.mask.0, graph, &dims)?;
    let mut mask = Mask(with_data.map(&mut |&tensor: &Value| place(&mut tensors, tensor)));
    let query_start = spec.query_start.map(|starts| place(&mut tensors, starts));
    let is_moved = query_start.is_some();
    let mut steps = Steps { op, graph, dims, is_moved, query, key, tensors };
    let mut terms = Vec::new();
    for score in &spec.scores {
        steps.terms_of(score, &mut terms)?;
    }
    let Steps { query, tensors, .. } = steps;
    if is_moved {
        mask = mask.aligned(Alignment::default());
    }
    let scale = spec.scale.map_or_else(|| 1.0 / (dims.head_size as f64).sqrt(), f64::from);
    let mut rule = Rule { mask, terms, query_start, scale, softcap: spec.softcap, tensors: tensors.len() };
    if let (true, Some((keys, farthest_after, alignment))) = (is_moved, rule.relative_keys()) {
        let keys = graph.desc(tensors[keys])?;
        rule.check_distances(op, &dims, keys, farthest_after, alignment)?;
        // Queries that stand at no key may be farther from one than any relative key.
        let farthest_before = (keys.shape.dims()[0] as u32).saturating_sub(farthest_after.saturating_add(1));
        rule.mask = rule.mask & Mask::window(farthest_before, farthest_after);
    }
    Ok(Prepared { rule, query, tensors })
}

fn check_numbers(op: &'static str, spec: &Blocked) -> Result<()> {
    if spec.scores.len() > MOST_SCORES {
        return Err(Error::new(ErrorKind::Limit, op, "scores")
            .expecting(format!("at most {MOST_SCORES} rules"))
            .but_found(spec.scores.len()));
    }
    let refused = |argument, expected: &str, found: f32| {
        Err(Error::new(ErrorKind::Argument, op, argument).expecting(expected).but_found(found))
    };
    if let Some(scale) = spec.scale.filter(|scale| !scale.is_finite()) {
        return refused("scale", "a finite number", scale);
    }
    // Further out, a score over the cap or a capped score leaves f32.
    if let Some(cap) = spec.softcap.filter(|cap| !(1e-10..=1e10).contains(cap)) {
        return refused("softcap", "a number from 1e-10 to 1e10", cap);
    }
    Ok(())
}

/// The place of `tensor` among `tensors`, where it is put unless it is there already.
fn place(tensors: &mut Vec<Value>, tensor: Value) -> usize {
    tensors.iter().position(|&known| known == tensor).unwrap_or_else(|| {
        tensors.push(tensor);
        tensors.len() - 1
    })
}

/// The mask with its layouts as values of `graph`.
fn with_data(node: &Node<Value>, graph: &mut Graph, dims: &Dims) -> Result<Node<Value>> {
    let mut all = |parts: &[Node<Value>]| {
        parts.iter().map(|part| with_data(part, graph, dims)).collect::<Result<Vec<_>>>()
    };
    Ok(match node {
        Node::All(parts) => Node::All(all(parts)?),
        Node::Any(parts) => Node::Any(all(parts)?),
        Node::Not(part) => Node::Not(Box::new(with_data(part, graph, dims)?)),
        Node::BigBird(spec) => {
            let layout = Arc::new(spec.layout(dims.heads, dims.key_time)?);
            let data = Some(constant(graph, layout.data()?)?);
            Node::Blocks(Blocks { layout, data })
        }
        Node::Blocks(Blocks { layout, data: None }) => {
            let data = Some(constant(graph, layout.data()?)?);
            Node::Blocks(Blocks { layout: layout.clone(), data })
        }
        other => other.clone(),
    })
}

/// What terms append to a graph on the way to becoming terms.
struct Steps<'g> {
    op: &'static str,
    graph: &'g mut Graph,
    dims: Dims,
    /// Whether a tensor says where queries begin, in place of alignments.
    is_moved: bool,
    query: Value,
    key: Value,
    tensors: Vec<Value>,
}

impl Steps<'_> {
    fn place(&mut self, tensor: Value) -> usize {
        place(&mut self.tensors, tensor)
    }

    fn terms_of(&mut self, score: &Score, terms: &mut Vec<Term>) -> Result<()> {
        let alignment = if self.is_moved { Alignment::default() } else { score.alignment };
        match &score.rule {
            &ScoreRule::Bias(bias) => {
                let extent = |axis| {
                    self.graph.desc(bias).map(|desc| desc.shape.dims().get(axis).copied().unwrap_or(1))
                };
                let (by_query, by_key) = (extent(2)? > 1, extent(3)? > 1);
                terms.push(Term::Bias { bias: self.place(bias), by_query, by_key });
            }
            &ScoreRule::Alibi(slopes) => terms.push(Term::Alibi { slopes: self.place(slopes), alignment }),
            &ScoreRule::Gaussian(sigma) => terms.push(Term::Gaussian { sigma: self.place(sigma), alignment }),
            ScoreRule::Buckets { table, buckets } => {
                buckets.check(self.op)?;
                let map = self.map(alignment, |distance| buckets.of(distance) as i32)?;
                terms.push(Term::Distances { table: self.place(*table), slots: buckets.count as usize, map });
            }
            ScoreRule::RelativeKeys { content_bias, position_bias, keys, farthest_after } => {
                self.double_query(*keys, *content_bias, *position_bias)?;
                let keys = self.place(*keys);
                terms.push(Term::RelativeKeys { keys, farthest_after: *farthest_after, alignment });
            }
            &ScoreRule::Disentangled { keys, queries, span, max_distance } => {
                let width = self.check_span(span, keys, queries)?;
                let buckets = max_distance.map(|max_distance| LogBuckets { span, max_distance });
                if let Some(buckets) = buckets {
                    buckets.check(self.op)?;
                }
                let map = self.map(alignment, |distance| {
                    let bucket = buckets.map_or(distance, |buckets| buckets.of(distance));
                    (bucket + i64::from(span)).clamp(0, width as i64 - 1) as i32
                })?;
                if let Some(keys) = keys {
                    let table = self.products(self.query, keys, width)?;
                    terms.push(Term::QueryTable { table: self.place(table), width, map });
                }
                if let Some(queries) = queries {
                    let table = self.products(self.key, queries, width)?;
                    terms.push(Term::KeyTable { table: self.place(table), width, map });
                }
            }
            &ScoreRule::AdaptiveSpan { span, ramp } => {
                if !(ramp.is_finite() && ramp > 0.0) {
                    return Err(Error::new(ErrorKind::Argument, self.op, "adaptive_span.ramp")
                        .expecting("a positive number")
                        .but_found(ramp));
                }
                terms.push(Term::Ramp { span: self.place(span), ramp, alignment });
            }
            ScoreRule::Custom(rule) => terms.push(Term::Custom(rule.clone())),
        }
        Ok(())
    }

    /// A number for each distance.
    fn map(&mut self, alignment: Alignment, number: impl Fn(i64) -> i32) -> Result<Map> {
        let numbers: Vec<i32> = alignment.distances(&self.dims, self.is_moved).map(number).collect();
        let slots = constant(self.graph, HostTensor::i32([numbers.len()], numbers)?)?;
        Ok(Map { slots: self.place(slots), alignment })
    }

    fn check_heads(&self, argument: &str) -> Result<()> {
        let Dims { heads, kv_heads, .. } = self.dims;
        if heads == kv_heads {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Shape, self.op, "key")
            .expecting(format!("as many heads as query, {heads}, with {argument}"))
            .but_found(kv_heads))
    }

    fn check_desc(&self, argument: &str, tensor: Value, shape: &[usize]) -> Result<()> {
        let wanted = TensorDesc::new(self.graph.desc(self.query)?.dtype, shape);
        super::check::same(self.op, argument, self.graph.desc(tensor)?, &wanted)
    }

    /// Gives each row of the query its vector for keys and its vector for relative positions.
    fn double_query(
        &mut self,
        keys: Value,
        content_bias: Option<Value>,
        position_bias: Option<Value>,
    ) -> Result<()> {
        let Dims { heads, head_size, .. } = self.dims;
        self.check_heads("relative keys")?;
        let distances = self.graph.desc(keys)?.shape.dims().first().copied().unwrap_or(0);
        self.check_desc("relative_keys.keys", keys, &[distances, heads, head_size])?;
        let mut vectors = [self.query; 2];
        let biases =
            [("relative_keys.content_bias", content_bias), ("relative_keys.position_bias", position_bias)];
        for (vector, (argument, bias)) in vectors.iter_mut().zip(biases) {
            if let Some(bias) = bias {
                self.check_desc(argument, bias, &[heads, head_size])?;
                *vector = add(self.graph, self.query, bias)?;
            }
        }
        self.query = concat(self.graph, &vectors, 3)?;
        Ok(())
    }

    fn check_span(&self, span: u32, keys: Option<Value>, queries: Option<Value>) -> Result<usize> {
        let refused = |expected: &str, found: String| {
            Err(Error::new(ErrorKind::Argument, self.op, "disentangled").expecting(expected).but_found(found))
        };
        self.check_heads("disentangled attention")?;
        if keys.is_none() && queries.is_none() {
            return refused("keys, queries, or both", "neither".into());
        }
        if !(1..=1 << 20).contains(&span) {
            return refused("a span from 1 to 2^20", span.to_string());
        }
        let width = 2 * span as usize;
        for (argument, table) in [("disentangled.keys", keys), ("disentangled.queries", queries)] {
            if let Some(table) = table {
                self.check_desc(argument, table, &[width, self.dims.heads, self.dims.head_size])?;
            }
        }
        Ok(width)
    }

    /// `[batch, time, heads, width]`: the products of each row of `rows: [batch, time, heads, head_size]` with `table: [width, heads,
    /// head_size]`.
    fn products(&mut self, rows: Value, table: Value, width: usize) -> Result<Value> {
        let Dims { heads, head_size, .. } = self.dims;
        let (batch, time) = match *self.graph.desc(rows)?.shape.dims() {
            [batch, time, ..] => (batch, time),
            _ => (0, 0),
        };
        let graph = &mut *self.graph;
        let rows = reshape(graph, rows, [1, batch * time, heads, head_size])?;
        let table = reshape(graph, table, [1, width, heads, head_size])?;
        let inner = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Inner);
        let products = matmul(graph, rows, table, &inner)?;
        reshape(graph, products, [batch, time, heads, width])
    }
}
