//! Self-attention of which some heads see their neighbours and some the tokens of their clusters.

use super::heads::{join_heads, project, split_heads};
use super::{ChunkedAttention, Mixer, check_one_sequence_a_row, refuse_memory};
use crate::graph::Value;
use crate::nn::{Attend, Layout, Linear, Recorder, parameter};
use crate::ops::attention::{
    Routing, balanced_clusters, commitment_loss, moved_centroids, nearest_centroids, routing_attention,
};
use crate::ops::{Activation, concat, split, stop_gradient};
use crate::tensor::DType;
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "routing attention";

/// The extents and settings of [`RoutingAttention`].
#[derive(Clone, Copy, Debug)]
pub struct RoutingSettings {
    /// Heads that see their own chunk and the one before. They come first.
    pub local_heads: usize,
    /// Heads that see their clusters.
    pub routed_heads: usize,
    /// Channels of a head.
    pub head_size: usize,
    /// Positions of a chunk of the local heads.
    pub local_window: usize,
    /// Clusters of a routed head.
    pub clusters: usize,
    /// Tokens of a cluster: the length of a text divided by the clusters makes all tokens members once on average.
    pub window: usize,
    /// Keys of the network's own in each cluster.
    pub memory: usize,
    /// Whether a query sees its own position and those before only.
    pub is_causal: bool,
    /// The weight of the loss that draws tokens to their centroids.
    pub commitment: f32,
    /// The share that centroids keep when they move.
    pub decay: f32,
}

/// Local heads beside routed heads, as Routing Transformers have them (Roy et al., arXiv 2003.05997, section 4).
///
/// Centroids are a weight that no gradient reaches: a step of a training moves them to [`RoutedRows::moved`], and adds the commitment loss to its own
/// ([`Recorder::add_loss`]), where the layer is recorded as a [`Mixer`].
#[derive(Clone, Debug)]
pub struct RoutingAttention {
    local: Option<Linear>,
    projections: [Linear; 3],
    output: Linear,
    memory: Option<[Weight; 2]>,
    means: Weight,
    settings: RoutingSettings,
}

/// What [`RoutingAttention::record_with_loss`] gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RoutedRows {
    /// `[batch, time, width]`
    pub out: Value,
    /// The commitment loss, weighted: f32 `[1]`.
    pub loss: Value,
    /// The centroids of the next step: f32 `[routed_heads, clusters, head_size]`.
    pub moved: Value,
    /// The positions of queries and of keys in each cluster: u32 `[batch, routed_heads, clusters, window]`.
    pub members: [Value; 2],
}

impl RoutingAttention {
    /// Declares `local_to_qkv` (with a bias), `to_q`, `to_k`, `to_v`, `to_out`, and, where there are such heads and keys, `mem_k` and `mem_v:
    /// [routed_heads, clusters, memory, head_size]`, and the centroids `means: [routed_heads, clusters, head_size]`, under `scope`: the names of
    /// the `routing_transformer` package.
    ///
    /// Fails when there are no routed heads or no clusters.
    pub fn declare(scope: &mut Scope<'_>, width: usize, settings: RoutingSettings) -> Result<Self> {
        let RoutingSettings { local_heads, routed_heads, head_size, clusters, memory, .. } = settings;
        for (argument, number) in [("routed_heads", routed_heads), ("clusters", clusters)] {
            if number == 0 {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting("at least 1")
                    .but_found(0));
            }
        }
        let local = match local_heads {
            0 => None,
            heads => Some(Linear::declare(&mut scope.at("local_to_qkv"), width, 3 * heads * head_size)?),
        };
        let mut dense = |name, from, to| Linear::declare_without_bias(&mut scope.at(name), from, to);
        let inner = routed_heads * head_size;
        let projections =
            [dense("to_q", width, inner)?, dense("to_k", width, inner)?, dense("to_v", width, inner)?];
        let output = dense("to_out", (local_heads + routed_heads) * head_size, width)?;
        let memory = match memory {
            0 => None,
            count => {
                let shape = [routed_heads, clusters, count, head_size];
                Some([scope.weight("mem_k", shape)?, scope.weight("mem_v", shape)?])
            }
        };
        let means = scope.weight("means", [routed_heads, clusters, head_size])?;
        Ok(Self { local, projections, output, memory, means, settings })
    }

    /// Self-attention of `x: [batch, time, width]`, and what training needs beside it: the commitment loss and the centroids of the next step.
    ///
    /// Padding is seen by no query, but takes seats in clusters, and a part in the loss and in the centroids, as in the `routing_transformer` package:
    /// what a text gathers depends on it. Fails when `layout` is not a row for each sequence, and when the window is longer than the time.
    pub fn record_with_loss(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        layout: &Layout,
    ) -> Result<RoutedRows> {
        check_one_sequence_a_row(NAME, layout)?;
        let RoutingSettings { routed_heads, window, commitment, decay, .. } = self.settings;
        let [query, key, value] = project(recorder, x, self.projections.each_ref(), routed_heads)?;
        let means = parameter(recorder, &self.means, DType::F32)?;
        let means = stop_gradient(recorder, means)?;
        let members = [
            balanced_clusters(recorder, query, means, window)?,
            balanced_clusters(recorder, key, means, window)?,
        ];
        let mut spec = Routing::new();
        if self.settings.is_causal {
            spec = spec.causal();
        }
        if let Layout::Padded { lengths } = *layout {
            spec = spec.lengths(lengths);
        }
        if let Some([keys, values]) = &self.memory {
            spec = spec.memory([recorder.weight(keys)?, recorder.weight(values)?]);
        }
        let mut gathered = routing_attention(recorder, query, Some(key), value, members, &spec)?;
        if let Some(local) = &self.local {
            let own = self.local_heads(recorder, local, x, layout)?;
            gathered = concat(recorder, &[own, gathered], 2)?;
        }
        let tokens = concat(recorder, &[query, key], 1)?;
        let nearest = nearest_centroids(recorder, tokens, means)?;
        let loss = commitment_loss(recorder, tokens, means, nearest, commitment)?;
        let moved = moved_centroids(recorder, tokens, means, nearest, decay)?;
        let joined = join_heads(recorder, gathered)?;
        let out = self.output.record(recorder, joined, Activation::Identity)?;
        Ok(RoutedRows { out, loss, moved, members })
    }

    fn local_heads(
        &self,
        recorder: &mut Recorder<'_>,
        layer: &Linear,
        x: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let RoutingSettings { local_heads, head_size, local_window, is_causal, .. } = self.settings;
        let projected = layer.record(recorder, x, Activation::Identity)?;
        let parts = split(recorder, projected, 2, &[local_heads * head_size; 3])?;
        let mut heads = [x; 3];
        for (heads, part) in heads.iter_mut().zip(parts) {
            *heads = split_heads(recorder, part, local_heads)?;
        }
        let mut attend = ChunkedAttention::new(local_window);
        if is_causal {
            attend = attend.causal();
        }
        let [query, key, value] = heads;
        attend.record(recorder, query, key, value, layout)
    }
}

impl Mixer for RoutingAttention {
    /// The rows of [`RoutingAttention::record_with_loss`]. Where a step changes weights ([`Recorder::changes_weights`]), its centroids are moved and its
    /// loss is the recorder's.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let routed = self.record_with_loss(recorder, x, layout)?;
        if recorder.changes_weights() {
            let means = parameter(recorder, &self.means, DType::F32)?;
            recorder.update(means, routed.moved)?;
            recorder.add_loss(routed.loss);
        }
        Ok(routed.out)
    }
}
