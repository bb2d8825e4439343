//! Longformer's attention (Beltagy et al., arXiv 2004.05150, section 3.1).

use super::SelfAttention;
use super::heads::project;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Linear};
use crate::ops::add;
use crate::ops::attention::{Blocked, Mask, blocked};
use crate::weights::Scope;

/// A window around each token, and global tokens, which see all tokens and are seen by all.
///
/// As in the authors' code (<https://github.com/allenai/longformer>, `longformer/longformer.py`) and Hugging Face's
/// `LongformerSelfAttention`: a token that is not global sees its window and the global tokens, each once, through the first three
/// projections; a global token sees all tokens through the three projections of its own. Rows of padding hold numbers without
/// meaning; there, Hugging Face's hold those of a token that sees nothing.
///
/// Both kinds of rows are attention steps over all rows under masks that exclude each other, and are added: a row that sees nothing
/// gives 0, and tiles that meet nothing are skipped. The projections of global queries run over all rows, too.
#[derive(Clone, Debug)]
pub struct LongformerAttention {
    /// The projections of tokens that are not global, and the output.
    pub local: SelfAttention,
    /// The query projection of global tokens.
    pub query_global: Linear,
    /// The projection of the keys that global tokens see.
    pub key_global: Linear,
    /// The projection of the values that global tokens attend to.
    pub value_global: Linear,
    /// Keys on either side of a query. Hugging Face's `attention_window` counts both sides.
    pub half_width: u32,
    /// From one key of a window to the next: one for all heads, or one for each. The window reaches `half_width * dilation` tokens.
    pub dilation: Vec<u32>,
}

impl LongformerAttention {
    /// Declares the weights under `scope`, an `attention` of Hugging Face's, with windows without gaps.
    ///
    /// Fails when the heads do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, width: usize, heads: usize, half_width: u32) -> Result<Self> {
        let names = ["self.query", "self.key", "self.value", "output.dense"];
        let local = SelfAttention::declare(scope, names, width, heads)?;
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        let query_global = dense("self.query_global")?;
        let (key_global, value_global) = (dense("self.key_global")?, dense("self.value_global")?);
        Ok(Self { local, query_global, key_global, value_global, half_width, dilation: vec![1] })
    }

    /// Self-attention of `x: [batch, time, width]`: `[batch, time, width]`.
    ///
    /// `globals: i32 [batch, count]` are positions of global tokens, -1 for none
    /// ([`global_tokens`](crate::ops::attention::global_tokens)); without it, the global projections take no part. Of sequences packed
    /// one behind another, positions are those along all of time, and a global token is one of its own sequence. Fails when the dilations
    /// are neither one nor one for each head, and as [`blocked`] does.
    pub fn record(
        &self,
        graph: &mut Graph,
        x: Value,
        globals: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        layout.check_whole("Longformer attention")?;
        let heads = self.local.heads;
        let [q, k, v] = self.local.projections.record(graph, x, heads)?;
        let within = |mask| layout.restrict(Blocked::new().mask(mask));
        let Some(globals) = globals else {
            let gathered = blocked(graph, q, k, v, &within(self.window()))?;
            return self.local.record_output(graph, gathered);
        };
        let seen = (self.window() | Mask::global_keys(globals)) & !Mask::global_queries(globals);
        let local = blocked(graph, q, k, v, &within(seen))?;
        let layers = [&self.query_global, &self.key_global, &self.value_global];
        let [q, k, v] = project(graph, x, layers, heads)?;
        let global = blocked(graph, q, k, v, &within(Mask::global_queries(globals)))?;
        let gathered = add(graph, local, global)?;
        self.local.record_output(graph, gathered)
    }

    fn window(&self) -> Mask {
        match self.dilation[..] {
            // A band, which has kernels of its own.
            [1] => Mask::window(self.half_width, self.half_width),
            _ => Mask::dilated_window(self.half_width, self.dilation.clone()),
        }
    }
}
