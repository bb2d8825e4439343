//! Mechanisms as JSON: what may take the place of a trained model's attention.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Attend, ClusteredAttention, LinearAttention, NystromAttention, check_one_sequence_a_row, one_length_a_row,
};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    BigBird, Blocked, FeatureMap, LinearAttention as Linear, LloydClusters, LogSparse, Mask, Nystrom, blocked,
};
use crate::ops::{Activation, constant};
use crate::tensor::HostTensor;
use crate::weights::config::MOST_BYTES;
use crate::weights::{Fields, file, parse_json, quote};
use crate::{Error, ErrorKind, Result};

/// The version of the format that this crate writes, and the only one there is.
const VERSION: u64 = 1;

const OP: &str = "mechanism";

/// An attention mechanism that needs no weights of its own, as JSON has it: an object with one field, the mechanism, and what holds for all.
///
/// ```json
/// {"version": 1, "nystrom": {"landmarks": 64}, "layers": [0, 1], "scale": 0.125}
/// ```
///
/// `version` is 1, also where it is absent. `layers` are numbers of attention layers, from 0 on in the order in which the network has them; all
/// where absent. `scale` is the factor of `q . k`, `1 / sqrt(head_size)` where absent.
///
/// | mechanism | settings | in the crate |
/// |---|---|---|
/// | `"exact"` | `{"causal": true}`: false where absent, here and below | [`blocked`] |
/// | `"window"` | `{"left": 64, "right": 64}` | [`Mask::window`] |
/// | `"dilated_window"` | `{"half_width": 16, "dilations": [2]}` | [`Mask::dilated_window`] |
/// | `"longformer"` | `{"half_width": 64, "globals": 1}`: the first so many tokens of each text are global; 1 where absent | [`Mask::longformer`] |
/// | `"big_bird"` | `{"block_size": 16, "random_blocks": 3, "seed": 0}` | [`Mask::big_bird`], windows of 3 blocks, the first and the last global |
/// | `"strided"` | `{"stride": 16}` | [`Mask::strided`] |
/// | `"fixed"` | `{"stride": 16, "expressivity": 4}` | [`Mask::fixed`] |
/// | `"log_sparse"` | `{"local": 8, "restart": 64}`: no restart where absent | [`Mask::log_sparse`] |
/// | `"linear"` | `{"features": "elu_plus_one", "causal": true}`; or `"relu"`, `"squared_relu"` | [`linear_attention`](crate::ops::attention::linear_attention) |
/// | `"nystrom"` | `{"landmarks": 64, "iterations": 6}`: 6 where absent | [`nystrom`](crate::ops::attention::nystrom) |
/// | `"clustered"` | `{"count": 64, "bits": 63, "iterations": 10, "top": 32, "seed": 0}`: what is shown where absent, but plain where there is no `top` | [`clustered`](crate::ops::attention::clustered) |
///
/// Within version 1 a document keeps its meaning: mechanisms may be added, none changes.
///
/// ```
/// use foveate::nn::Mechanism;
///
/// let mechanism = Mechanism::parse("--attention", br#"{"nystrom": {"landmarks": 64}}"#)?;
/// assert_eq!(mechanism.to_json()?, r#"{"version":1,"nystrom":{"landmarks":64,"iterations":6}}"#);
/// let error = Mechanism::parse("--attention", br#"{"nystrom": {"landmarks": 0}}"#).unwrap_err();
/// assert_eq!(error.to_string(), "--attention: nystrom.landmarks: expected at least 1, found 0");
/// # Ok::<(), foveate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mechanism {
    version: u64,
    #[serde(flatten)]
    method: Method,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Method {
    Exact {
        #[serde(default)]
        causal: bool,
    },
    Window {
        left: u32,
        right: u32,
    },
    DilatedWindow {
        half_width: u32,
        dilations: Vec<u32>,
    },
    Longformer {
        half_width: u32,
        #[serde(default = "one")]
        globals: u32,
    },
    BigBird {
        block_size: u32,
        random_blocks: u32,
        #[serde(default)]
        seed: u64,
    },
    Strided {
        stride: u32,
    },
    Fixed {
        stride: u32,
        expressivity: u32,
    },
    LogSparse {
        local: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart: Option<u32>,
    },
    Linear {
        features: Features,
        #[serde(default)]
        causal: bool,
    },
    Nystrom {
        landmarks: usize,
        #[serde(default = "six")]
        iterations: usize,
    },
    Clustered {
        count: usize,
        #[serde(default = "sixty_three")]
        bits: usize,
        #[serde(default = "ten")]
        iterations: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        top: Option<usize>,
        #[serde(default)]
        seed: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Features {
    EluPlusOne,
    Relu,
    SquaredRelu,
}

fn one() -> u32 {
    1
}

fn six() -> usize {
    6
}

fn ten() -> usize {
    10
}

fn sixty_three() -> usize {
    63
}

impl Mechanism {
    /// The document in the JSON file at `path`; see [`Mechanism::parse`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(&file::shown(path), &file::read(path, MOST_BYTES)?)
    }

    /// The document in `bytes`, which messages call `source`.
    ///
    /// Fails with [`ErrorKind::Config`], naming what is wrong.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::new(source, parse_json(source, bytes)?)?;
        if fields.has("version") && fields.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION)
        {
            return Err(fields.refuse("version", VERSION));
        }
        let layers = match fields.get("layers") {
            None => None,
            Some(list) => {
                let numbers = || -> Option<Vec<usize>> {
                    list.as_array()?.iter().map(|layer| usize::try_from(layer.as_u64()?).ok()).collect()
                };
                Some(numbers().ok_or_else(|| fields.refuse("layers", "a list of numbers from 0 on"))?)
            }
        };
        let scale = match fields.has("scale") {
            true => Some(fields.f32("scale", -1e6..=1e6)?),
            false => None,
        };
        let others = ["version", "layers", "scale"];
        let own: Vec<&str> = fields.names().filter(|name| !others.contains(name)).collect();
        let &[name] = &own[..] else {
            return Err(Error::new(ErrorKind::Config, source.to_owned(), "mechanism")
                .expecting("an object with one mechanism")
                .but_found(if own.is_empty() { "none".to_owned() } else { own.join(", ") }));
        };
        let mut method = serde_json::Map::new();
        method.insert(name.to_owned(), fields.get(name).cloned().unwrap_or_default());
        let method = serde_json::from_value(serde_json::Value::Object(method)).map_err(|error| {
            Error::new(ErrorKind::Config, source.to_owned(), quote::name(name))
                .expecting("a mechanism and its settings")
                .but_found(quote::complaint(&error))
        })?;
        let mechanism = Self { version: VERSION, method, layers, scale };
        mechanism.check(source)?;
        Ok(mechanism)
    }

    /// The document in one line: what [`Mechanism::parse`] reads.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::new(ErrorKind::Io, OP, "json").but_found(error))
    }

    /// Numbers of the attention layers in whose place it is, from 0 on; none for all.
    pub fn layers(&self) -> Option<&[usize]> {
        self.layers.as_deref()
    }

    /// Refuses settings that have no meaning, whatever they are used on.
    fn check(&self, source: &str) -> Result<()> {
        let at_least_1: &[(&str, u64)] = match self.method {
            Method::Nystrom { landmarks, iterations } => {
                &[("nystrom.landmarks", landmarks as u64), ("nystrom.iterations", iterations as u64)]
            }
            Method::Clustered { count, bits, iterations, top, .. } => &[
                ("clustered.count", count as u64),
                ("clustered.bits", bits as u64),
                ("clustered.iterations", iterations as u64),
                ("clustered.top", top.unwrap_or(1) as u64),
            ],
            Method::BigBird { block_size, .. } => &[("big_bird.block_size", block_size.into())],
            Method::Strided { stride } => &[("strided.stride", stride.into())],
            Method::Fixed { stride, expressivity } => {
                &[("fixed.stride", stride.into()), ("fixed.expressivity", expressivity.into())]
            }
            Method::LogSparse { restart, .. } => &[("log_sparse.restart", restart.unwrap_or(1).into())],
            _ => &[],
        };
        match at_least_1.iter().find(|(_, number)| *number == 0) {
            Some((place, _)) => Err(Error::new(ErrorKind::Config, source.to_owned(), place)
                .expecting("at least 1")
                .but_found(0)),
            None => Ok(()),
        }
    }

    /// The mechanism as layers record it.
    pub fn attend(&self) -> Arc<dyn Attend> {
        let rule = |mask: Mask| {
            let spec = Blocked::new().mask(mask);
            self.scale.map_or(spec.clone(), |scale| spec.scale(scale))
        };
        match self.method.clone() {
            Method::Exact { causal: true } => Arc::new(rule(Mask::causal())),
            Method::Exact { causal: false } => Arc::new(rule(Mask::full())),
            Method::Window { left, right } => Arc::new(rule(Mask::window(left, right))),
            Method::DilatedWindow { half_width, dilations } => {
                Arc::new(rule(Mask::dilated_window(half_width, dilations)))
            }
            Method::Longformer { half_width, globals } => {
                Arc::new(FirstGlobal { spec: rule(Mask::full()), half_width, globals })
            }
            Method::BigBird { block_size, random_blocks, seed } => {
                let spec = BigBird { block_size, window_blocks: 3, global_blocks: 1, random_blocks, seed };
                Arc::new(OneText(rule(Mask::big_bird(spec))))
            }
            Method::Strided { stride } => Arc::new(rule(Mask::strided(stride))),
            Method::Fixed { stride, expressivity } => {
                Arc::new(OneText(rule(Mask::fixed(stride, expressivity))))
            }
            Method::LogSparse { local, restart } => {
                Arc::new(OneText(rule(Mask::log_sparse(LogSparse { local, restart }))))
            }
            Method::Linear { features, causal } => {
                let map = match features {
                    Features::EluPlusOne => Activation::EluPlusOne,
                    Features::Relu => Activation::Relu,
                    Features::SquaredRelu => Activation::SquaredRelu,
                };
                let spec = Linear::new().feature_map(FeatureMap::Elementwise(map));
                let spec = self.scale.map_or(spec.clone(), |scale| spec.scale(scale));
                Arc::new(LinearAttention::new(if causal { spec.causal() } else { spec }))
            }
            Method::Nystrom { landmarks, iterations } => {
                let spec = Nystrom::new(landmarks).iterations(iterations);
                Arc::new(NystromAttention::new(self.scale.map_or(spec, |scale| spec.scale(scale))))
            }
            Method::Clustered { count, bits, iterations, top, seed } => {
                let attend = ClusteredAttention::new(LloydClusters { count, bits, iterations, seed });
                let attend = top.map_or(attend, |top| attend.improved(top));
                Arc::new(self.scale.map_or(attend, |scale| attend.scale(scale)))
            }
        }
    }
}

/// A rule whose pattern goes by positions in the row, so that a row must begin with its text and have no other.
#[derive(Clone, Debug)]
struct OneText(Blocked);

impl Attend for OneText {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let lengths = one_length_a_row(OP, recorder, layout)?;
        let spec = lengths.map_or(self.0.clone(), |lengths| self.0.clone().lengths(lengths));
        blocked(recorder, query, key, value, &spec)
    }
}

/// Windows, and the first tokens of each text as global ones.
#[derive(Clone, Debug)]
struct FirstGlobal {
    spec: Blocked,
    half_width: u32,
    globals: u32,
}

impl Attend for FirstGlobal {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let desc = recorder.desc(query)?;
        let &[batch, time, _, _] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, OP, "query").expecting("rank 4").but_found(desc));
        };
        if let Layout::Cached { .. } | Layout::Recurrent = layout {
            check_one_sequence_a_row(OP, layout)?;
        }
        let count = self.globals as usize;
        // Places behind the row stand for none.
        let places = (0..batch * count)
            .map(|at| (at % count) as i32)
            .map(|at| if (at as usize) < time { at } else { -1 });
        let places = constant(recorder, HostTensor::i32([batch, count], places.collect())?)?;
        let mask = match count {
            0 => Mask::window(self.half_width, self.half_width),
            _ => Mask::longformer(self.half_width, places),
        };
        OneText(self.spec.clone().mask(mask)).record(recorder, query, key, value, layout)
    }
}
