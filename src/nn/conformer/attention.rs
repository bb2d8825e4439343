//! Attention of a Conformer: over whole sequences, or over parts of streams with keys and values of earlier ones.

use std::ops::RangeInclusive;

use crate::graph::{Graph, Value};
use crate::nn::conv::behind_tail;
use crate::nn::{Layout, Linear, Mixer, Recorder, join_heads, refuse_memory, split_heads};
use crate::ops::attention::{Blocked, Mask, Score, blocked};
use crate::ops::{self, Activation, Rotary};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "Conformer attention";

/// Attention of a Conformer, over all positions or, of a causal one, over a few before its own.
#[derive(Clone, Debug)]
pub struct ConformerAttention {
    /// The projections of queries, keys and values.
    pub layers: [Linear; 3],
    /// How it takes positions into account.
    pub positions: ConformerPositions,
    /// The output projection.
    pub output: Linear,
    /// How many heads there are.
    pub heads: usize,
    /// Of causal attention, how many positions before its own a query sees, and none behind. Without it a query sees all.
    pub left_context: Option<usize>,
}

/// How a Conformer's attention takes positions into account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConformerPositions {
    /// Scores know distances, by keys of sinusoids (section 2.1, after Dai et al., arXiv 1901.02860):
    /// `((q_i + u) . k_j + (q_i + v) . p_(i - j)) / sqrt(size)`.
    Relative {
        /// The key projection of the sinusoids of distances, without bias.
        key: Linear,
        /// Added to queries: u before their product with keys, v before that with distances, each `[heads, size]`.
        biases: [Weight; 2],
    },
    /// Rotary positions, applied to the input of the query and key projections, each head's channels by themselves.
    Rotary(Rotary),
    /// Not at all.
    None,
}

impl ConformerAttention {
    /// The sinusoids of all distances that queries see, f32 `[distances, width]`: that of the position farthest behind a query in the first row, that of
    /// the position farthest before it in the last. Of whole sequences of `time` positions `2 time - 1`, or of causal attention `min(time, left_context
    /// + 1)`; of parts of streams `left_context + 1`. None for attention that takes none. Layers of one width share them.
    pub fn distances(
        &self,
        graph: &mut Graph,
        time: usize,
        width: usize,
        layout: &Layout,
    ) -> Result<Option<Value>> {
        if !matches!(self.positions, ConformerPositions::Relative { .. }) || time == 0 {
            return Ok(None);
        }
        let farthest = time as i64 - 1;
        let distances = match (self.left_context, layout) {
            (Some(left), Layout::Recurrent) => 0..=left as i64,
            (Some(left), _) => 0..=farthest.min(left as i64),
            (None, _) => -farthest..=farthest,
        };
        sinusoids(graph, distances, width).map(Some)
    }

    /// Self-attention of `x: [batch, time, width]`, given [`ConformerAttention::distances`] in the type of `x`.
    ///
    /// The next positions of streams ([`Layout::Recurrent`]) see keys and values of earlier ones that are kept from run to run, under the names of
    /// their layers' weights. Fails for them unless the attention is causal and its positions are not rotary, and for no distances where they are needed.
    pub fn record_with(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        distances: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        if let (ConformerPositions::Rotary(_), Layout::Recurrent) = (&self.positions, layout) {
            let error = Error::new(ErrorKind::Unsupported, NAME, "positions");
            return Err(error
                .expecting("relative positions, or none, in parts of streams")
                .but_found("rotary ones, which are counted from the beginning"));
        }
        let mut made = self.project(recorder, x)?;
        let mut spec = Blocked::new();
        if let Some(left) = self.left_context {
            spec = spec.mask(Mask::window(u32::try_from(left).unwrap_or(u32::MAX), 0));
        }
        match (self.left_context, layout) {
            (Some(left), Layout::Recurrent) if left > 0 => {
                spec = spec.score(Score::bias(hidden_before(recorder, self.layers[1].name(), x, left)?));
                for (value, layer) in made[1..].iter_mut().zip(&self.layers[1..]) {
                    *value = behind_tail(recorder, layer.name(), *value, left)?;
                }
            }
            (Some(_), Layout::Recurrent) => {}
            _ => layout.check_whole(NAME)?,
        }
        let time = recorder.desc(x)?.shape.dims()[1];
        for value in &mut made {
            *value = split_heads(recorder, *value, self.heads)?;
        }
        let [query, key, value] = made;
        if let ConformerPositions::Relative { key, biases: [u, v] } = &self.positions {
            let missing = || Error::new(ErrorKind::Argument, NAME, "distances");
            let distances = distances.ok_or_else(|| missing().expecting("sinusoids").but_found("none"))?;
            let size = recorder.desc(query)?.shape.dims()[3];
            let count = recorder.desc(distances)?.shape.dims()[0];
            let keys = key.record(recorder, distances, Activation::Identity)?;
            let keys = ops::reshape(recorder, keys, [count, self.heads, size])?;
            let (u, v) = (recorder.weight(u)?, recorder.weight(v)?);
            let behind = if self.left_context.is_some() { 0 } else { time.saturating_sub(1) as u32 };
            spec = spec.score(Score::relative_keys(keys, Some(u), Some(v), behind));
        }
        let gathered = blocked(recorder, query, key, value, &layout.restrict(spec))?;
        let joined = join_heads(recorder, gathered)?;
        self.output.record(recorder, joined, Activation::Identity)
    }

    /// Queries, keys and values of `x: [batch, time, width]`, each `[batch, time, width]`.
    fn project(&self, recorder: &mut Recorder<'_>, x: Value) -> Result<[Value; 3]> {
        let turned = match &self.positions {
            ConformerPositions::Rotary(spec) => {
                let apart = split_heads(recorder, x, self.heads)?;
                let turned = ops::rotary(recorder, apart, spec)?;
                join_heads(recorder, turned)?
            }
            ConformerPositions::Relative { .. } | ConformerPositions::None => x,
        };
        let mut made = [turned, turned, x];
        for (value, layer) in made.iter_mut().zip(&self.layers) {
            *value = layer.record(recorder, *value, Activation::Identity)?;
        }
        Ok(made)
    }
}

impl Mixer for ConformerAttention {
    /// With sinusoids of its own. Fails for parts of streams unless the attention is causal, and for no positions.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let desc = recorder.desc(x)?.clone();
        let (time, width) = match *desc.shape.dims() {
            [_, time, width] if time > 0 => (time, width),
            _ => {
                let error = Error::new(ErrorKind::Shape, NAME, "x");
                return Err(error.expecting("[batch, at least 1 position, width]").but_found(desc));
            }
        };
        let distances = self.distances(recorder, time, width, layout)?;
        let distances = distances.map(|distances| ops::converted(recorder, distances, desc.dtype));
        let distances = distances.transpose()?;
        self.record_with(recorder, x, distances, layout)
    }
}

/// A bias that hides those of the `left` positions before a part of a stream, `x: [batch, time, width]`, that were never read, as zeros in their place
/// would be keys like others: f32 `[batch, 1, 1, left + time]`.
fn hidden_before(graph: &mut Graph, name: &str, x: Value, left: usize) -> Result<Value> {
    /// As a bias, what hides a key.
    const HIDDEN: f32 = -1e30;
    let [batch, time] = [0, 1].map(|axis| graph.desc(x).map(|desc| desc.shape.dims()[axis]));
    let (batch, time) = (batch?, time?);
    let read = ops::fill(graph, TensorDesc::f32([batch, time, 1]), 1.0)?;
    let read = behind_tail(graph, &format!("{name}.read"), read, left)?;
    let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
    let missing = ops::subtract(graph, one, read)?;
    let bias = ops::scale(graph, missing, HIDDEN)?;
    ops::reshape(graph, bias, [batch, 1, 1, left + time])
}

/// Sines and cosines by turns of `distances`, which ascend: f32 `[distances, width]`.
fn sinusoids(graph: &mut Graph, distances: RangeInclusive<i64>, width: usize) -> Result<Value> {
    let count = (distances.end() - distances.start() + 1) as usize;
    let mut elements = Vec::with_capacity(count * width);
    for distance in distances {
        elements.extend((0..width).map(|channel| {
            let angle = distance as f64 * 10_000f64.powf(-((channel - channel % 2) as f64) / width as f64);
            (if channel % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
        }));
    }
    ops::constant(graph, HostTensor::f32([count, width], elements)?)
}
