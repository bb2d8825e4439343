//! A forecaster of a time series (Li et al., "Enhancing the Locality and Breaking the Memory Bottleneck of Transformer on Time Series Forecasting",
//! arXiv 1907.00235): layers of causal attention whose queries and keys are convolutions, over the values so far and what is known of each time,
//! and a normal distribution of each next value.
//!
//! ```text
//! x_t = embed([z_(t-1), covariates_t]) + position_t          normalised before each sum
//! x = x + attention(norm(x)), x = x + down(gelu(up(norm(x))))  in every layer
//! z_t ~ N(mean(norm(x_t)), softplus(deviation(norm(x_t)))^2)
//! ```

use crate::graph::Value;
use crate::nn::{
    Block, Embedding, FeedForward, LayerNorm, Layout, Linear, LogSparseAttention, Recorder, Residual,
};
use crate::ops::attention::LogSparse;
use crate::ops::{self, Activation};
use crate::tensor::{HostTensor, TensorDesc};
use crate::weights::fresh::Fresh;
use crate::weights::{Declaration, Declarations, Scope};
use crate::{Error, ErrorKind, Random, Result};

const NAME: &str = "forecaster";

/// Added to variances.
const EPS: f32 = 1e-5;

/// The least standard deviation of a forecast, of values of about variance 1.
const LEAST_DEVIATION: f32 = 1e-3;

/// Bounds of extents.
const MOST_EXTENT: usize = 1 << 16;
const MOST_LAYERS: usize = 1 << 10;

/// The extents of a forecaster. Later versions may add fields: end with `..ForecasterConfig::default()`, which is the forecaster that `foveate train
/// forecast` trains on a week before each day of hourly values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecasterConfig {
    /// Numbers that are known of each time beforehand.
    pub covariates: usize,
    /// Channels of a hidden state.
    pub width: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Channels between the two dense layers.
    pub feed_forward: usize,
    /// Values that a query and a key are made of: 1 for single points.
    pub kernel: usize,
    /// The longest window, in values.
    pub length: usize,
    /// Which values are seen; all before where absent.
    pub log_sparse: Option<LogSparse>,
}

impl Default for ForecasterConfig {
    fn default() -> Self {
        Self {
            // `processing::series::COVARIATES`, which is there with the feature `tokenize`.
            covariates: 7,
            width: 32,
            heads: 4,
            layers: 3,
            feed_forward: 128,
            kernel: 5,
            length: 192,
            log_sparse: Some(LogSparse { local: 12, restart: None }),
        }
    }
}

/// A forecaster with the weights it declares: `embed`, `position`, `layer.N`, `norm`, `head`.
#[derive(Clone, Debug)]
pub struct Forecaster {
    config: ForecasterConfig,
    declarations: Declarations,
    embed: Linear,
    position: Embedding,
    layers: Vec<Block<LogSparseAttention>>,
    norm: LayerNorm,
    head: Linear,
}

impl Forecaster {
    /// Declares the weights of a forecaster.
    ///
    /// Fails with [`ErrorKind::Config`] when an extent is 0 or too large, and when the heads do not divide the width.
    pub fn new(config: ForecasterConfig) -> Result<Self> {
        let ForecasterConfig { covariates, width, heads, layers, feed_forward, kernel, length, .. } = config;
        for (field, extent, most) in [
            ("width", width, MOST_EXTENT),
            ("heads", heads, width),
            ("layers", layers, MOST_LAYERS),
            ("feed_forward", feed_forward, MOST_EXTENT),
            ("kernel", kernel, MOST_EXTENT),
            ("length", length, MOST_EXTENT),
        ] {
            if !(1..=most).contains(&extent) {
                return Err(Error::new(ErrorKind::Config, NAME, field)
                    .expecting(format!("1 to {most}"))
                    .but_found(extent));
            }
        }
        if !width.is_multiple_of(heads) || covariates > MOST_EXTENT {
            return Err(Error::new(ErrorKind::Config, NAME, "heads")
                .expecting(format!("a divisor of the width, {width}, and at most {MOST_EXTENT} covariates"))
                .but_found(format!("{heads}, and {covariates}")));
        }
        let mut declarations = Declarations::new();
        let mut root = declarations.root();
        let embed = Linear::declare(&mut root.at("embed"), 1 + covariates, width)?;
        let position = Embedding::declare(&mut root.at("position"), length, width)?;
        let layers = (0..layers)
            .map(|layer| config.declare_layer(&mut root.at(format_args!("layer.{layer}"))))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::declare(&mut root.at("norm"), width, EPS)?;
        let head = Linear::declare(&mut root.at("head"), width, 2)?;
        Ok(Self { config, declarations, embed, position, layers, norm, head })
    }

    /// The extents.
    pub fn config(&self) -> &ForecasterConfig {
        &self.config
    }

    /// The weights.
    pub fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// Mean and standard deviation of the value at each time, f32 `[batch, time]`, for `seen: f32 [batch, time, 1 + covariates]`: the value before each
    /// time, and what is known of that time.
    ///
    /// Fails when `seen` has another shape or more times than the longest window.
    pub fn record(&self, recorder: &mut Recorder<'_>, seen: Value) -> Result<[Value; 2]> {
        let desc = recorder.desc(seen)?.clone();
        let (batch, time) = match *desc.shape.dims() {
            [batch, time, width]
                if width == 1 + self.config.covariates && (1..=self.config.length).contains(&time) =>
            {
                (batch, time)
            }
            _ => {
                let ForecasterConfig { covariates, length, .. } = self.config;
                return Err(Error::new(ErrorKind::Shape, NAME, "seen")
                    .expecting(format!("[batch, 1 to {length}, {}]", 1 + covariates))
                    .but_found(desc));
            }
        };
        let embedded = self.embed.record(recorder, seen, Activation::Identity)?;
        let places = HostTensor::i32([1, time], (0..time as i32).collect())?;
        let places = ops::constant(recorder, places)?;
        let positions = Embedding::record_sum(recorder, &[(&self.position, places)], desc.dtype)?;
        let x = ops::add(recorder, embedded, positions)?;
        let x = recorder.layers(self.layers.len(), x, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &Layout::Rows, None)
        })?;
        let x = self.norm.record(recorder, x, None)?;
        let made = self.head.record(recorder, x, Activation::Identity)?;
        let parts = ops::split(recorder, made, 2, &[1, 1])?;
        let mean = ops::reshape(recorder, parts[0], [batch, time])?;
        let deviation = ops::softplus(recorder, parts[1])?;
        let least = ops::fill(recorder, TensorDesc::f32([1]), LEAST_DEVIATION)?;
        let deviation = ops::add(recorder, deviation, least)?;
        Ok([mean, ops::reshape(recorder, deviation, [batch, time])?])
    }

    /// Numbers to start training from, by name: normal, as wide as keeps the variance of what a layer reads, biases 0 and the factors of normalisations
    /// 1; positions and the head start near 0.
    pub fn initial_weights(&self, seed: u64) -> impl Iterator<Item = Result<(String, HostTensor)>> {
        let mut random = Random::new(seed);
        self.declarations.list().iter().map(move |declaration| {
            let Declaration { name, shape, .. } = declaration;
            let starts_small = name.starts_with("position") || name.starts_with("head");
            let other = if starts_small { Fresh::Normal(0.02) } else { Fresh::keeping_variance(shape) };
            let fresh = Fresh::by_name(declaration).unwrap_or(other);
            Ok((name.clone(), fresh.tensor(shape, &mut random)?))
        })
    }
}

impl ForecasterConfig {
    fn declare_layer(&self, scope: &mut Scope<'_>) -> Result<Block<LogSparseAttention>> {
        let Self { width, heads, feed_forward, kernel, length, .. } = *self;
        let mut norm = |name| LayerNorm::declare(&mut scope.at(name), width, EPS).map(Residual::before);
        let (mixing, feeding) = (norm("norm1")?, norm("norm2")?);
        // Keys without gaps over the whole window are all before the query.
        let all = LogSparse { local: length as u32, restart: None };
        let spec = self.log_sparse.unwrap_or(all);
        let mixer = LogSparseAttention::declare(&mut scope.at("attention"), width, heads, kernel, spec)?;
        let extents = [width, feed_forward];
        let feed_forward = FeedForward::declare(scope, ["up", "down"], extents, Activation::Gelu)?;
        Ok(Block { mixer, mixing, cross: None, feed_forward, feeding })
    }
}
