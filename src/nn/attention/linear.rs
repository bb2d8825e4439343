//! Linear attention in the place of softmax attention.

use super::Attend;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    LinearAttention as Settings, LinearState, linear_attention, linear_attention_with_state,
};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "linear attention";

/// Attention whose scores are products of features ([`linear_attention`]; Katharopoulos et al., arXiv 2006.16236), to which layouts add
/// lengths, packed sequences and the states of streams.
///
/// Where each batch item is the next segment of a stream ([`Layout::Recurrent`]), the sums over all keys so far are states of the graph,
/// `linear.N.sums` and, with a denominator, `linear.N.normalizer`: of a fixed size, however long the text. The settings must be causal then. A
/// sum cannot forget a key again, as rows of a cache are written over: [`Layout::Cached`] is refused.
#[derive(Clone, Debug, Default)]
pub struct LinearAttention {
    settings: Settings,
}

impl LinearAttention {
    /// With the features, scale, denominator and order of `settings`. Where a layout has lengths, segments or a state, those of `settings` are not
    /// used.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Continues the next of the streams' states that no layer before has taken.
    fn record_stream(&self, recorder: &mut Recorder<'_>, qkv: [Value; 3]) -> Result<Value> {
        if !self.settings.is_causal() {
            return Err(Error::new(ErrorKind::Argument, NAME, "layout")
                .expecting("a causal rule, for streams")
                .but_found("one that sees every key"));
        }
        let ends_in = |suffix: &str, name: &str| name.starts_with("linear.") && name.ends_with(suffix);
        let number = recorder.states().iter().filter(|(name, _)| ends_in(".sums", name)).count();
        let [query, key, value] = qkv;
        let (of_key, of_value) = (recorder.desc(key)?.clone(), recorder.desc(value)?.clone());
        let (&[batch, _, heads, size], &[_, _, _, value_size]) = (of_key.shape.dims(), of_value.shape.dims())
        else {
            return Err(Error::new(ErrorKind::Shape, NAME, "key")
                .expecting("keys and values of rank 4, [batch, time, heads, size]")
                .but_found(format!("{of_key} and {of_value}")));
        };
        let sums = recorder
            .state(&format!("linear.{number}.sums"), TensorDesc::f32([batch, heads, size, value_size]))?;
        let normalizer = match self.settings.is_normalised() {
            true => {
                let desc = TensorDesc::f32([batch, heads, size]);
                Some(recorder.state(&format!("linear.{number}.normalizer"), desc)?)
            }
            false => None,
        };
        let spec = self.settings.clone().state(LinearState { sums, normalizer });
        let (out, next) = linear_attention_with_state(recorder, query, key, value, &spec)?;
        recorder.update(sums, next.sums)?;
        if let (Some(state), Some(next)) = (normalizer, next.normalizer) {
            recorder.update(state, next)?;
        }
        Ok(out)
    }
}

impl Attend for LinearAttention {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let spec = match *layout {
            Layout::Rows => self.settings.clone(),
            Layout::Padded { lengths } => self.settings.clone().lengths(lengths),
            Layout::Packed { segments, .. } => self.settings.clone().segments(segments),
            Layout::Recurrent => return self.record_stream(recorder, [query, key, value]),
            Layout::Cached { .. } => {
                return Err(Error::new(ErrorKind::Unsupported, NAME, "layout")
                    .expecting("whole sequences, or segments of streams")
                    .but_found("caches, whose last rows may be written anew"));
            }
        };
        linear_attention(recorder, query, key, value, &spec)
    }
}
