//! Heads that exchange scores and weights.

use super::{Attend, one_length_a_row};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{TalkingHeads, talking_heads};
use crate::weights::{Scope, Weight};

const NAME: &str = "talking-heads attention";

/// Attention whose heads exchange scores before the softmax and weights after it ([`talking_heads`]). Keys have as many heads as queries.
#[derive(Clone, Debug)]
pub struct TalkingHeadsAttention {
    pre: Weight,
    post: Weight,
    settings: TalkingHeads,
}

impl TalkingHeadsAttention {
    /// Declares `pre: [score_heads, softmax_heads]` and `post: [softmax_heads, value_heads]` under `scope`. Lengths of `settings` are not used:
    /// layouts have them.
    pub fn declare(
        scope: &mut Scope<'_>,
        [score_heads, softmax_heads, value_heads]: [usize; 3],
        settings: TalkingHeads,
    ) -> Result<Self> {
        let pre = scope.weight("pre", [score_heads, softmax_heads])?;
        Ok(Self { pre, post: scope.weight("post", [softmax_heads, value_heads])?, settings })
    }
}

impl Attend for TalkingHeadsAttention {
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
        let mut spec = self.settings;
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        let mixing = [recorder.weight(&self.pre)?, recorder.weight(&self.post)?];
        talking_heads(recorder, query, key, value, mixing, &spec)
    }
}
