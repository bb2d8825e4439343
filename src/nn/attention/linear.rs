//! Linear attention in the place of softmax attention.

use super::Attend;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    Denominator, FeatureMap, FeaturesOf, LinearAttention as Settings, LinearState, RandomProjection,
    SoftmaxKernel, check_log_decay, linear_attention, linear_attention_with_state, softmax_kernel_features,
};
use crate::ops::{constant, padding};
use crate::tensor::{HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "linear attention";

/// Attention whose scores are products of features ([`linear_attention`]; Katharopoulos et al., arXiv 2006.16236), to which layouts add
/// lengths, packed sequences and the states of streams.
///
/// Where each batch item continues a stream ([`Layout::Recurrent`], [`Layout::Stateful`]), the sums over all keys so far are states of the graph,
/// `linear.N.sums` and, with a denominator, `linear.N.normalizer`: of a fixed size, however long the text. The settings must be causal then. A
/// sum cannot forget a key again, as rows of a cache are written over: [`Layout::Cached`] is refused.
#[derive(Clone, Debug, Default)]
pub struct LinearAttention {
    settings: Settings,
    /// Log decays of the key heads.
    decays: Option<Vec<f32>>,
    features: Option<(RandomProjection, SoftmaxKernel)>,
}

/// Log decays of `heads` heads, as retention has them: `ln(1 - 2^(-5 - h))` of head `h`, counted from 0 (arXiv 2307.08621, equation 8).
pub fn retention_decays(heads: usize) -> Vec<f32> {
    (0..heads).map(|head| (-(2f64.powi(-5 - head as i32))).ln_1p() as f32).collect()
}

impl LinearAttention {
    /// With the features, scale, denominator and order of `settings`. Where a layout has lengths, segments or a state, those of `settings` are not
    /// used.
    pub fn new(settings: Settings) -> Self {
        Self { settings, decays: None, features: None }
    }

    /// With random features of the softmax kernel, FAVOR+ ([`softmax_kernel_features`]; arXiv 2009.14794), in the place of the feature map and the
    /// denominator of `settings`: keys and queries must have the projection's size. The matrix is a constant of each graph, the same in
    /// training and evaluation; a layer with the next [`RandomProjection::draw`] is what redraws it.
    #[must_use]
    pub fn random_features(self, projection: RandomProjection, kernel: SoftmaxKernel) -> Self {
        let settings = self.settings.feature_map(FeatureMap::Given).denominator(Denominator::Plus(0.0));
        Self { settings, features: Some((projection, kernel)), ..self }
    }

    /// With fixed decays, the logarithm of one for each key head, such as [`retention_decays`]. For causal settings.
    ///
    /// Fails when one is above 0 or not finite.
    pub fn decays(self, logarithms: &[f32]) -> Result<Self> {
        check_log_decay(&HostTensor::f32([logarithms.len()], logarithms.to_vec())?)?;
        Ok(Self { decays: Some(logarithms.to_vec()), ..self })
    }

    /// The settings, with the decays as a value of the graph.
    fn spec(&self, recorder: &mut Recorder<'_>) -> Result<Settings> {
        let Some(decays) = &self.decays else { return Ok(self.settings.clone()) };
        let decays = constant(recorder, HostTensor::f32([decays.len()], decays.clone())?)?;
        Ok(self.settings.clone().decay(decays))
    }

    /// Features of queries and keys, where they are random ones.
    fn featured(
        &self,
        recorder: &mut Recorder<'_>,
        [query, mut key]: [Value; 2],
        layout: &Layout,
    ) -> Result<[Value; 2]> {
        let Some((projection, kernel)) = self.features else { return Ok([query, key]) };
        // The largest of all keys is no padding's.
        if let (true, &Layout::Padded { lengths }) = (kernel.knows_all_keys(), layout) {
            key = padding::zero_behind(recorder, key, lengths)?;
        }
        let dtype = recorder.desc(query)?.dtype;
        let projection = projection.constant(recorder, dtype)?;
        Ok([
            softmax_kernel_features(recorder, query, projection, FeaturesOf::Queries, &kernel)?,
            softmax_kernel_features(recorder, key, projection, FeaturesOf::Keys, &kernel)?,
        ])
    }
}

/// Attention under `spec` that continues the next of the streams' states that no layer before has taken.
pub(super) fn record_stream(
    recorder: &mut Recorder<'_>,
    [query, key, value]: [Value; 3],
    spec: &Settings,
) -> Result<Value> {
    if !spec.is_causal() {
        return Err(Error::new(ErrorKind::Argument, NAME, "layout")
            .expecting("a causal rule, for streams")
            .but_found("one that sees every key"));
    }
    let ends_in = |suffix: &str, name: &str| name.starts_with("linear.") && name.ends_with(suffix);
    let number = recorder.states().iter().filter(|(name, _)| ends_in(".sums", name)).count();
    let (of_key, of_value) = (recorder.desc(key)?.clone(), recorder.desc(value)?.clone());
    let (&[batch, _, heads, size], &[_, _, _, value_size]) = (of_key.shape.dims(), of_value.shape.dims())
    else {
        return Err(Error::new(ErrorKind::Shape, NAME, "key")
            .expecting("keys and values of rank 4, [batch, time, heads, size]")
            .but_found(format!("{of_key} and {of_value}")));
    };
    let sums = recorder
        .state(&format!("linear.{number}.sums"), TensorDesc::f32([batch, heads, size, value_size]))?;
    let normalizer = match spec.is_normalised() {
        true => {
            let desc = TensorDesc::f32([batch, heads, size]);
            Some(recorder.state(&format!("linear.{number}.normalizer"), desc)?)
        }
        false => None,
    };
    let spec = spec.clone().state(LinearState { sums, normalizer });
    let (out, next) = linear_attention_with_state(recorder, query, key, value, &spec)?;
    recorder.update(sums, next.sums)?;
    if let (Some(state), Some(next)) = (normalizer, next.normalizer) {
        recorder.update(state, next)?;
    }
    Ok(out)
}

/// Attention under `spec` of rows that lie as `layout` says.
pub(super) fn record_under(
    recorder: &mut Recorder<'_>,
    [query, key, value]: [Value; 3],
    spec: Settings,
    layout: &Layout,
) -> Result<Value> {
    let spec = match *layout {
        Layout::Rows => spec,
        Layout::Padded { lengths } => spec.lengths(lengths),
        Layout::Packed { segments, .. } => spec.segments(segments),
        Layout::Recurrent => return record_stream(recorder, [query, key, value], &spec),
        Layout::Stateful { lengths } => {
            return record_stream(recorder, [query, key, value], &spec.lengths(lengths));
        }
        Layout::Cached { .. } => {
            return Err(Error::new(ErrorKind::Unsupported, NAME, "layout")
                .expecting("whole sequences, or segments of streams")
                .but_found("caches, whose last rows may be written anew"));
        }
    };
    linear_attention(recorder, query, key, value, &spec)
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
        let is_stream = matches!(layout, Layout::Recurrent | Layout::Stateful { .. });
        if let Some((_, kernel)) = self.features.filter(|_| is_stream)
            && kernel.knows_all_keys()
        {
            return Err(Error::new(ErrorKind::Argument, NAME, "stabilizer")
                .expecting("one that does not depend on keys, for streams: `Stabilizer::Projection`")
                .but_found("the largest of all keys"));
        }
        let [query, key] = self.featured(recorder, [query, key], layout)?;
        let spec = self.spec(recorder)?;
        record_under(recorder, [query, key, value], spec, layout)
    }
}
