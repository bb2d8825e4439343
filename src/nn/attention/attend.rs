//! The traits [`Attend`], attention between its projections, and [`Mixer`], a whole layer that mixes tokens.

use std::fmt::Debug;

use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, blocked};
use crate::ops::{constant, gather_rows, inverse_lists, reshape, slice};
use crate::tensor::HostTensor;
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

/// Attention between the projections of a layer, from queries, keys and values to an output. In a trained model one can be exchanged for another
/// ([`Recorder::exchange`]), to see what that costs in error and gains in time.
pub trait Attend: Debug + Send + Sync {
    /// Attention of `query: [batch, time, heads, size]` over `key: [batch, key_time, kv_heads, size]` and `value: [batch, key_time, kv_heads,
    /// value_size]`: `[batch, time, heads, value_size]`.
    ///
    /// Fails when `layout` is one that the method cannot take, and as its ops do.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value>;

    /// Whether it can tell several sequences in a row apart ([`Layout::Packed`]). Where it cannot, each text is a row of its own, and
    /// [`Encoder`](crate::models::Encoder) runs only those of one length together.
    fn takes_several(&self) -> bool {
        true
    }
}

/// Any layer that mixes tokens: attention with its projections, a convolution, a Fourier transform.
pub trait Mixer: Debug + Send + Sync {
    /// The layer's output for `x: [batch, time, width]`, of the same shape. `layout` says how sequences are laid out in the rows. `memory: [batch,
    /// memory_time, width]` holds earlier segments, which lie before `x`: they are attended to, and have no output.
    ///
    /// Fails when `layout` is one that the layer cannot take, when it takes no memory and there is one, and as its ops do.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value>;
}

/// Refuses memory, for a layer that takes none.
pub(crate) fn refuse_memory(layer: &'static str, memory: Option<Value>) -> Result<()> {
    if memory.is_none() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, layer, "memory").expecting("none").but_found("earlier segments"))
}

/// Refuses layouts but those in which each row begins with a whole sequence.
pub(crate) fn check_one_sequence_a_row(layer: &'static str, layout: &Layout) -> Result<()> {
    let found = match layout {
        Layout::Rows | Layout::Padded { .. } => return Ok(()),
        Layout::Packed { .. } => "several sequences in a row",
        Layout::Cached { .. } | Layout::Recurrent | Layout::Stateful { .. } => "parts of streams",
    };
    Err(Error::new(ErrorKind::Unsupported, layer, "layout")
        .expecting("a row for each sequence")
        .but_found(found))
}

/// Refuses layouts but that of whole rows of tokens.
pub(crate) fn refuse_padding(layer: &'static str, layout: &Layout) -> Result<()> {
    check_one_sequence_a_row(layer, layout)?;
    if matches!(layout, Layout::Rows) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, layer, "layout")
        .expecting("rows without padding")
        .but_found("lengths"))
}

/// How many tokens each row of `layout` begins with, i32 `[batch]`; none where rows are whole. Refuses layouts in which a row has several sequences.
pub(crate) fn one_length_a_row(
    layer: &'static str,
    graph: &mut Graph,
    layout: &Layout,
) -> Result<Option<Value>> {
    match *layout {
        // The others fill up.
        Layout::Packed { segments, count: 1 } => counted(graph, segments).map(Some),
        Layout::Padded { lengths } => Ok(Some(lengths)),
        _ => check_one_sequence_a_row(layer, layout).map(|()| None),
    }
}

/// How many of `segments: i32 [batch, time]` are 0 in each row.
fn counted(graph: &mut Graph, segments: Value) -> Result<Value> {
    let desc = graph.desc(segments)?.clone();
    let &[batch, time] = desc.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, "layout", "segments")
            .expecting("[batch, time]")
            .but_found(&desc.shape));
    };
    let ends = inverse_lists(graph, segments, 1)?.offsets;
    let ends = slice(graph, ends, 1, 1..2)?;
    // From u32 to i32: the row of a table that holds its own number.
    let numbers = constant(graph, HostTensor::i32([time + 1, 1], (0..=time as i32).collect())?)?;
    let counts = gather_rows(graph, numbers, ends)?;
    reshape(graph, counts, [batch])
}

/// Softmax attention under a rule.
impl Attend for Blocked {
    /// Of a layout with caches, keys and values are appended to these, and queries gather from all of them: the rule must be causal.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let [key, value] = recorder.cached([key, value], layout)?;
        blocked(recorder, query, key, value, &layout.restrict(self.clone()))
    }
}

/// Softmax attention under a rule whose tensors are weights.
#[derive(Clone, Debug)]
pub struct Softmax {
    spec: Blocked<Weight>,
}

impl Softmax {
    /// Attention with the masks, score modifiers and scale of `spec`.
    pub fn new(spec: Blocked<Weight>) -> Self {
        Self { spec }
    }
}

impl Attend for Softmax {
    /// As [`Blocked`] does, with the weights as parameters.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let mut failed = None;
        // In place of a weight that could not be recorded, any value: nothing is made of it.
        let spec = self.spec.map(|weight| {
            recorder.weight(weight).unwrap_or_else(|error| {
                failed = Some(error);
                query
            })
        });
        match failed {
            Some(error) => Err(error),
            None => spec.record(recorder, query, key, value, layout),
        }
    }
}
