//! Attention over few keys of high scores, and over sorted blocks, in the place of softmax attention.

use super::{Attend, one_length_a_row, refuse_padding};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Scored, Simplex, Sinkhorn, sinkhorn, sparse_attention, top_k_attention};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "sparse attention";

/// What makes few keys of many.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Few {
    Highest(usize),
    Simplex(Simplex),
}

/// Attention of each query over few keys, chosen by their scores ([`top_k_attention`], [`sparse_attention`]). Scores are stored.
#[derive(Clone, Copy, Debug)]
pub struct SparseAttention {
    few: Few,
    is_causal: bool,
    scale: Option<f32>,
}

impl SparseAttention {
    /// Softmax over the `k` keys of the highest scores, or all where there are fewer.
    pub fn highest(k: usize) -> Self {
        Self { few: Few::Highest(k), is_causal: false, scale: None }
    }

    /// Sparsemax or 1.5-entmax in the place of softmax.
    pub fn simplex(simplex: Simplex) -> Self {
        Self { few: Few::Simplex(simplex), is_causal: false, scale: None }
    }

    /// A query sees the key opposite it and all before.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The factor of `q . k`.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }
}

impl Attend for SparseAttention {
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
        let mut spec = Scored::new();
        if self.is_causal {
            spec = spec.causal();
        }
        if let Some(scale) = self.scale {
            spec = spec.scale(scale);
        }
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        match self.few {
            Few::Highest(k) => {
                let desc = recorder.desc(key)?;
                let &[_, key_time, ..] = desc.shape.dims() else {
                    return Err(Error::new(ErrorKind::Shape, NAME, "key")
                        .expecting("rank 4")
                        .but_found(desc));
                };
                Ok(top_k_attention(recorder, query, key, value, k.min(key_time), &spec)?.out)
            }
            Few::Simplex(simplex) => Ok(sparse_attention(recorder, query, key, value, simplex, &spec)?.out),
        }
    }
}

/// Sinkhorn attention with a soft permutation of blocks ([`sinkhorn`]), without noise. It takes whole rows of tokens, without padding, whose blocks
/// are the largest that divide them and are no larger than the settings', 1 at prime lengths ([`Sinkhorn::dividing`]).
#[derive(Clone, Copy, Debug)]
pub struct SinkhornAttention {
    settings: Sinkhorn,
}

impl SinkhornAttention {
    /// With these settings.
    pub fn new(settings: Sinkhorn) -> Self {
        Self { settings }
    }
}

impl Attend for SinkhornAttention {
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
        refuse_padding(NAME, layout)?;
        let desc = recorder.desc(query)?;
        let &[_, time, ..] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, NAME, "query").expecting("rank 4").but_found(desc));
        };
        Ok(sinkhorn(recorder, query, key, value, None, &self.settings.dividing(time))?.out)
    }
}
