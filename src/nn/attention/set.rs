//! Layers of the Set Transformer (Lee et al., arXiv 1810.00825, section 3), whose results know no order.
//!
//! | layer | paper | result |
//! |---|---|---|
//! | [`MultiheadAttentionBlock`] | MAB(X, Y), equations 6 and 7 | attention from the elements of one set to those of another |
//! | [`SetAttention`] | SAB(X) = MAB(X, X), equation 8 | the same of a set and itself |
//! | [`InducedSetAttention`] | ISAB(X) = MAB(X, MAB(I, X)), equations 9 and 10 | the same through a few points, time linear in the set |
//! | [`SetPooling`] | PMA(X) = MAB(S, X), equation 11 | a few vectors for the whole set |
//!
//! As in the authors' code (<https://github.com/juho-lee/set_transformer>, `modules.py`): scores are scaled by `1 / sqrt(width)`, the width of
//! all heads together; the residual adds the projected query; the feed-forward layer is one dense layer; normalisations are absent unless asked
//! for.

use super::{Mixer, join_heads, one_length_a_row, refuse_memory, split_heads};
use crate::graph::{Graph, Value};
use crate::nn::{LayerNorm, Layout, Linear, Recorder, parameter};
use crate::ops::attention::{Blocked, blocked};
use crate::ops::{Activation, add, broadcast};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "set attention";

/// Of the normalisations.
const EPS: f32 = 1e-5;

/// What files call the parts of a [`MultiheadAttentionBlock`].
#[derive(Clone, Copy, Debug)]
pub struct SetAttentionNames {
    /// The dense layer that makes queries.
    pub query: &'static str,
    /// The dense layer that makes keys.
    pub key: &'static str,
    /// The dense layer that makes values.
    pub value: &'static str,
    /// The feed-forward layer.
    pub output: &'static str,
    /// Layer normalisations, after attention and after the feed-forward layer, where there are any.
    pub norms: Option<[&'static str; 2]>,
}

impl Default for SetAttentionNames {
    /// The authors' names, without normalisations.
    fn default() -> Self {
        Self { query: "fc_q", key: "fc_k", value: "fc_v", output: "fc_o", norms: None }
    }
}

/// `H + relu(fc_o H)` for `H = fc_q X + Attention(fc_q X, fc_k Y, fc_v Y)`, each normalised where asked for.
#[derive(Clone, Debug)]
pub struct MultiheadAttentionBlock {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norms: Option<[LayerNorm; 2]>,
    heads: usize,
    width: usize,
}

impl MultiheadAttentionBlock {
    /// Declares the layers under `scope`, from elements of `x` and `y` channels to `width`. Fails when the heads do not divide the width.
    pub fn declare(
        scope: &mut Scope<'_>,
        names: &SetAttentionNames,
        [x, y, width]: [usize; 3],
        heads: usize,
    ) -> Result<Self> {
        super::heads::head_size(width, heads)?;
        let mut dense = |name, inner| Linear::declare(&mut scope.at(name), inner, width);
        let (query, key, value) = (dense(names.query, x)?, dense(names.key, y)?, dense(names.value, y)?);
        let output = dense(names.output, width)?;
        let norms = match names.norms {
            Some([first, second]) => {
                let mut norm = |name| LayerNorm::declare(&mut scope.at(name), width, EPS);
                Some([norm(first)?, norm(second)?])
            }
            None => None,
        };
        Ok(Self { query, key, value, output, norms, heads, width })
    }

    /// `[batch, count, width]` of `x: [batch, count, ..]` and `y: [batch, other, ..]`, of which the first elements count, as many as `lengths:
    /// i32 [batch]` says, or all.
    pub fn record(&self, graph: &mut Graph, x: Value, y: Value, lengths: Option<Value>) -> Result<Value> {
        let projected = self.query.record(graph, x, Activation::Identity)?;
        let query = split_heads(graph, projected, self.heads)?;
        let [key, value] = [&self.key, &self.value].map(|layer| {
            let rows = layer.record(graph, y, Activation::Identity)?;
            split_heads(graph, rows, self.heads)
        });
        let spec = Blocked::new().scale(1.0 / (self.width as f32).sqrt());
        let spec = lengths.map_or(spec.clone(), |lengths| spec.lengths(lengths));
        let gathered = blocked(graph, query, key?, value?, &spec)?;
        let gathered = join_heads(graph, gathered)?;
        let mut x = add(graph, projected, gathered)?;
        if let Some([norm, _]) = &self.norms {
            x = norm.record(graph, x, None)?;
        }
        let fed = self.output.record(graph, x, Activation::Relu)?;
        match &self.norms {
            Some([_, norm]) => norm.record(graph, fed, Some(x)),
            None => add(graph, x, fed),
        }
    }
}

/// Self-attention within a set.
#[derive(Clone, Debug)]
pub struct SetAttention(pub MultiheadAttentionBlock);

/// Self-attention within a set through a few learned inducing points: time linear in the size of the set.
#[derive(Clone, Debug)]
pub struct InducedSetAttention {
    points: Weight,
    gather: MultiheadAttentionBlock,
    spread: MultiheadAttentionBlock,
}

impl InducedSetAttention {
    /// Declares `[points, width]` under the first of the names and the two blocks under the others, in `scope`: the authors have `I`, `mab0`,
    /// `mab1`. Elements have `inner` channels, results `width`.
    ///
    /// Fails when there are no points, and when the heads do not divide the width.
    pub fn declare(
        scope: &mut Scope<'_>,
        [name, gather, spread]: [&str; 3],
        names: &SetAttentionNames,
        [inner, width]: [usize; 2],
        points: usize,
        heads: usize,
    ) -> Result<Self> {
        let points = vectors(scope, name, "points", points, width)?;
        let mut block =
            |name, sizes| MultiheadAttentionBlock::declare(&mut scope.at(name), names, sizes, heads);
        let (gather, spread) = (block(gather, [width, inner, width])?, block(spread, [inner, width, width])?);
        Ok(Self { points, gather, spread })
    }

    /// `[batch, count, width]` of `x: [batch, count, inner]`, of which the first elements count, as many as `lengths: i32 [batch]` says, or all.
    pub fn record(&self, graph: &mut Graph, x: Value, lengths: Option<Value>) -> Result<Value> {
        let points = repeated(graph, &self.points, x)?;
        let gathered = self.gather.record(graph, points, x, lengths)?;
        self.spread.record(graph, x, gathered, None)
    }
}

/// Pools a set into a few vectors, by attention with learned queries.
#[derive(Clone, Debug)]
pub struct SetPooling {
    seeds: Weight,
    feed: Option<Linear>,
    block: MultiheadAttentionBlock,
}

impl SetPooling {
    /// Declares `[seeds, width]` called `name` and a block under `scope` itself. With `feed`, a dense layer of that name and a ReLU go before, as
    /// the paper has it and the authors' code has not.
    ///
    /// Fails when there are no seeds, and when the heads do not divide the width.
    pub fn declare(
        scope: &mut Scope<'_>,
        name: &str,
        feed: Option<&str>,
        names: &SetAttentionNames,
        width: usize,
        seeds: usize,
        heads: usize,
    ) -> Result<Self> {
        let seeds = vectors(scope, name, "seeds", seeds, width)?;
        let feed = feed.map(|feed| Linear::declare(&mut scope.at(feed), width, width)).transpose()?;
        Ok(Self { seeds, feed, block: MultiheadAttentionBlock::declare(scope, names, [width; 3], heads)? })
    }

    /// `[batch, seeds, width]` of `x: [batch, count, width]`, of which the first elements count, as many as `lengths: i32 [batch]` says, or all.
    pub fn record(&self, graph: &mut Graph, x: Value, lengths: Option<Value>) -> Result<Value> {
        let seeds = repeated(graph, &self.seeds, x)?;
        let x = match &self.feed {
            Some(feed) => feed.record(graph, x, Activation::Relu)?,
            None => x,
        };
        self.block.record(graph, seeds, x, lengths)
    }
}

fn vectors(
    scope: &mut Scope<'_>,
    name: &str,
    argument: &'static str,
    count: usize,
    width: usize,
) -> Result<Weight> {
    if count == 0 {
        return Err(Error::new(ErrorKind::Argument, NAME, argument).expecting("at least 1").but_found(0));
    }
    scope.weight(name, [count, width])
}

/// `weight: [count, width]` for each batch item of `x`, in its type.
fn repeated(graph: &mut Graph, weight: &Weight, x: Value) -> Result<Value> {
    let desc = graph.desc(x)?;
    let (dtype, batch) = (desc.dtype, desc.shape.dims().first().copied().unwrap_or(1));
    let vectors = parameter(graph, weight, dtype)?;
    let dims = [&[batch], weight.shape().dims()].concat();
    broadcast(graph, vectors, dims)
}

impl Mixer for SetAttention {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let lengths = one_length_a_row(NAME, recorder, layout)?;
        self.0.record(recorder, x, x, lengths)
    }
}

impl Mixer for InducedSetAttention {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let lengths = one_length_a_row(NAME, recorder, layout)?;
        self.record(recorder, x, lengths)
    }
}
