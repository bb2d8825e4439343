//! Softmax attention under masks that need no tensors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::OP;
use super::table::{Settings, Tensors};
use crate::graph::Value;
use crate::nn::attention::{Attend, check_one_sequence_a_row, one_length_a_row};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{self, Blocked, Mask, blocked};
use crate::ops::constant;
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exact {
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    left: u32,
    right: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DilatedWindow {
    half_width: u32,
    dilations: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Longformer {
    half_width: u32,
    #[serde(default = "one")]
    globals: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BigBird {
    block_size: u32,
    random_blocks: u32,
    #[serde(default)]
    seed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Strided {
    stride: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixed {
    stride: u32,
    expressivity: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogSparse {
    local: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart: Option<u32>,
}

fn one() -> u32 {
    1
}

/// Attention under `mask`.
pub(super) fn under(mask: Mask, scale: Option<f32>) -> Blocked {
    let spec = Blocked::new().mask(mask);
    scale.map_or(spec.clone(), |scale| spec.scale(scale))
}

/// Everything, or what is not behind the query.
pub(super) fn full_or_causal(is_causal: bool) -> Mask {
    if is_causal { Mask::causal() } else { Mask::full() }
}

impl Settings for Exact {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(under(full_or_causal(self.causal), scale)))
    }
}

impl Settings for Window {
    fn is_causal(&self) -> bool {
        self.right == 0
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(under(Mask::window(self.left, self.right), scale)))
    }
}

impl Settings for DilatedWindow {
    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(under(Mask::dilated_window(self.half_width, self.dilations.clone()), scale)))
    }
}

impl Settings for Longformer {
    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let Self { half_width, globals } = *self;
        Ok(Arc::new(FirstGlobal { spec: under(Mask::full(), scale), half_width, globals }))
    }
}

impl Settings for BigBird {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("block_size", self.block_size.into())]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let Self { block_size, random_blocks, seed } = *self;
        let spec = attention::BigBird { block_size, window_blocks: 3, global_blocks: 1, random_blocks, seed };
        Ok(Arc::new(OneText(under(Mask::big_bird(spec), scale))))
    }
}

impl Settings for Strided {
    fn is_causal(&self) -> bool {
        true
    }

    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("stride", self.stride.into())]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(under(Mask::strided(self.stride), scale)))
    }
}

impl Settings for Fixed {
    fn is_causal(&self) -> bool {
        true
    }

    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("stride", self.stride.into()), ("expressivity", self.expressivity.into())]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(OneText(under(Mask::fixed(self.stride, self.expressivity), scale))))
    }
}

impl Settings for LogSparse {
    fn is_causal(&self) -> bool {
        true
    }

    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("restart", self.restart.unwrap_or(1).into())]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let Self { local, restart } = *self;
        Ok(Arc::new(OneText(under(Mask::log_sparse(attention::LogSparse { local, restart }), scale))))
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
        if let Layout::Cached { .. } | Layout::Recurrent | Layout::Stateful { .. } = layout {
            check_one_sequence_a_row(OP, layout)?;
        }
        let count = (self.globals as usize).min(time);
        let places = (0..batch * count).map(|at| (at % count) as i32);
        let places = constant(recorder, HostTensor::i32([batch, count], places.collect())?)?;
        let mask = match count {
            0 => Mask::window(self.half_width, self.half_width),
            _ => Mask::longformer(self.half_width, places),
        };
        OneText(self.spec.clone().mask(mask)).record(recorder, query, key, value, layout)
    }
}
