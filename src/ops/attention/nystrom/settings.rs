//! The settings of Nyström attention, and what is wrong with them.

use super::NAME;
use crate::graph::{Graph, Value};
use crate::ops::attention::Dims;
use crate::ops::padding;
use crate::{Error, ErrorKind, Result};

/// Settings of [`nystrom`](super::nystrom).
#[derive(Clone, Copy, Debug)]
pub struct Nystrom {
    pub(super) landmarks: usize,
    pub(super) iterations: usize,
    pub(super) scale: Option<f32>,
    pub(super) segments: Segments,
    pub(super) padded: PaddedLandmarks,
    pub(super) start: InverseStart,
    pub(super) lengths: Option<Value>,
    pub(super) convolution: Option<Value>,
}

/// How tokens are divided among landmarks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Segments {
    /// Nearly equal parts of each item's own length, the shorter ones first ([`even_segments`](crate::ops::even_segments)), so that
    /// padding changes nothing.
    #[default]
    OfLength,
    /// Nearly equal parts of `time`, the shorter ones first, as the authors have it for ImageNet (`T2T-ViT`); where landmarks divide
    /// `time`, equal parts, as all have it.
    OfTime,
    /// Equal parts after zeros in front of queries, keys and values, which count: they lower the first landmarks, and take part in `B` with
    /// a score and a value of 0. lucidrains' `nystrom-attention` without a mask; with lengths it has the next one.
    FrontPadded,
    /// Equal parts after zeros in front that count nowhere: lucidrains' `nystrom-attention` with a mask.
    FrontPaddedMasked,
}

/// How landmarks treat padding tokens, where there are lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaddedLandmarks {
    /// Means are of tokens alone, and landmarks without tokens are left out of all three matrices. Rows of padding give 0.
    #[default]
    Dropped,
    /// Means divide by the length of the segment, with zeros for padding, and landmarks without tokens stay, as zeros: the authors' code for
    /// Long Range Arena. Rows of padding hold numbers without meaning, here and below.
    Zeroed,
    /// Means are of tokens alone; a landmark without tokens sees all landmarks and all positions alike, and takes part in the iteration:
    /// lucidrains' `nystrom-attention`.
    Uniform,
    /// Padding counts in the means like tokens, and is hidden from `B` alone: Hugging Face's `NystromformerModel`. What padding holds
    /// changes results.
    Averaged,
}

/// What the iteration for the inverse starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InverseStart {
    /// The largest column sum of each item and head.
    #[default]
    OfHead,
    /// The largest column sum of the whole batch and all heads, so that items change one another's results: the authors' first code,
    /// Hugging Face's, and lucidrains' `nystrom-attention`.
    OfBatch,
}

impl Nystrom {
    /// `landmarks` landmarks, 6 iterations, scores scaled by `1 / sqrt(head_size)`, no padding.
    pub fn new(landmarks: usize) -> Self {
        Self {
            landmarks,
            iterations: 6,
            scale: None,
            segments: Segments::default(),
            padded: PaddedLandmarks::default(),
            start: InverseStart::default(),
            lengths: None,
            convolution: None,
        }
    }

    /// How many landmarks there are.
    pub fn landmarks(&self) -> usize {
        self.landmarks
    }

    /// The same settings with at most `landmarks` landmarks. For a text of that many positions, the result is exact attention.
    #[must_use]
    pub fn at_most(self, landmarks: usize) -> Self {
        Self { landmarks: self.landmarks.min(landmarks), ..self }
    }

    /// Steps of the iteration for the inverse, in place of 6.
    #[must_use]
    pub fn iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How tokens are divided among landmarks.
    #[must_use]
    pub fn segments(self, segments: Segments) -> Self {
        Self { segments, ..self }
    }

    /// How landmarks treat padding tokens.
    #[must_use]
    pub fn padded(self, padded: PaddedLandmarks) -> Self {
        Self { padded, ..self }
    }

    /// What the iteration for the inverse starts from.
    #[must_use]
    pub fn start(self, start: InverseStart) -> Self {
        Self { start, ..self }
    }

    /// How many tokens each batch item really has: `i32 [batch]`.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Adds a convolution of values along time to the result, the same for all channels of a head (section 3.3 of the paper):
    /// `kernels: [kv_heads, kernel]` of odd `kernel`, whose middle is on the position itself.
    #[must_use]
    pub fn convolution(self, kernels: Value) -> Self {
        Self { convolution: Some(kernels), ..self }
    }

    /// Refuses settings that have no meaning for `dims`.
    pub(super) fn check(&self, graph: &Graph, dims: &Dims) -> Result<()> {
        let refused = |argument, expected: String, found: String| {
            Err(Error::new(ErrorKind::Argument, NAME, argument).expecting(expected).but_found(found))
        };
        if dims.key_time != dims.query_time {
            return Err(Error::new(ErrorKind::Shape, NAME, "key")
                .expecting(format!(
                    "the time of query, {}, as both are cut into the same segments",
                    dims.query_time
                ))
                .but_found(dims.key_time));
        }
        if !(1..=dims.query_time).contains(&self.landmarks) {
            let expected = format!("1 to the {} positions", dims.query_time);
            return refused("landmarks", expected, self.landmarks.to_string());
        }
        if self.iterations == 0 {
            return refused("iterations", "at least 1".into(), "0".into());
        }
        let Some(lengths) = self.lengths else { return Ok(()) };
        if self.segments == Segments::FrontPadded {
            let expected = "FrontPaddedMasked, or no lengths".into();
            return refused("segments", expected, "FrontPadded with lengths".into());
        }
        padding::check_lengths(NAME, graph, lengths, dims.batch)
    }
}
